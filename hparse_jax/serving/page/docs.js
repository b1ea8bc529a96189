// The server's OpenAPI document as a page.

function element(name, content, className) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...[content].flat());
  return made;
}

function table(rows) {
  return element("table", rows.map((cells) => element("tr", cells.map((cell) => element("td", cell)))));
}

function section(title, rows) {
  return rows.length ? [element("h3", title), table(rows)] : [];
}

function example(method, path, { body, secret }) {
  const words = ["curl"];
  if (secret) words.push("-H 'Authorization: Bearer TOKEN'");
  if (body) words.push("-F photo=@anna.jpg");
  return `${words.join(" ")} ${new URL(`.${path}`, location.href)}`;
}

function route(method, path, operation) {
  const form = operation.requestBody?.content["multipart/form-data"].schema.properties || {};
  const media = (response) => Object.keys(response.content || {}).join(", ");
  return element("article", [
    element("p", [element("span", method.toUpperCase(), "method"), element("code", path)], "route"),
    element("p", operation.description || ""),
    ...section("Form", Object.entries(form).map(([name, field]) => [name, field.description])),
    ...section("Query", (operation.parameters || []).map((p) => [p.name, p.description || ""])),
    ...section(
      "Answers",
      Object.entries(operation.responses)
        .filter(([status]) => status !== "422")
        .map(([status, response]) => [
          status,
          [response.description, status === "200" && media(response) ? ` (${media(response)})` : ""],
        ]),
    ),
    element("pre", example(method, path, { body: operation.requestBody, secret: operation.security })),
  ]);
}

const answer = await fetch("openapi.json");
const { info, paths } = await answer.json();
document.getElementById("routes").append(
  element("p", info.description, "muted"),
  ...Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => route(method, path, operation)),
  ),
);
