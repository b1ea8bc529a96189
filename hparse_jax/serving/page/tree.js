// The tree of classes: what was found at every level, with switches and shares.

const percent = (share) => (share && share < 0.001 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`);

// model: of the server. shares: for each level a Map of node id -> share of the photograph.
// on: for each level an array of booleans. change() after a switch; choose(level, id) after a click.
// Returns a function that brings the rows up to date with `on` and the chosen node.
export function drawTree(list, absent, { model, shares, on }, change, choose) {
  const rows = [];
  const last = model.levels.length - 1;
  const largest = Math.max(...shares.flatMap((level) => [...level].map(([id, s]) => (id ? s : 0))));

  function item(level, id) {
    const node = model.levels[level].nodes[id];
    const share = shares[level].get(id) || 0;
    const children = level
      ? model.levels[level - 1].nodes.filter((n) => n.id && n.parent === id && found(level - 1, n.id))
      : [];
    const entry = document.createElement("li");
    const row = element("div", "node");
    const box = element("input");
    box.type = "checkbox";
    box.setAttribute("aria-label", `Show ${node.name}`);
    box.addEventListener("change", () => {
      set(level, id, box.checked);
      change();
    });
    const button = element("button");
    button.type = "button";
    const swatch = element("span", "swatch");
    swatch.style.background = `rgb(${node.colour.join(" ")})`;
    const bar = element("span", "share");
    const fill = element("i");
    fill.style.width = `${(100 * share) / largest}%`;
    bar.append(fill);
    button.append(swatch, text("name", node.name), bar, text("percent", percent(share)));
    button.addEventListener("click", () => choose(level, id));
    row.append(box, button);
    entry.append(row);
    rows.push({ level, id, row, box, button });
    if (children.length) {
      const inner = document.createElement("ul");
      children.sort((a, b) => (shares[level - 1].get(b.id) || 0) - (shares[level - 1].get(a.id) || 0));
      inner.append(...children.map((child) => item(level - 1, child.id)));
      entry.append(inner);
    }
    return entry;
  }

  // A node is listed when it or anything below it was found.
  function found(level, id) {
    if (shares[level].get(id)) return true;
    return (
      level > 0 &&
      model.levels[level - 1].nodes.some((n) => n.id && n.parent === id && found(level - 1, n.id))
    );
  }

  function set(level, id, value) {
    on[level][id] = value;
    if (level) {
      for (const child of model.levels[level - 1].nodes) {
        if (child.id && child.parent === id) set(level - 1, child.id, value);
      }
    }
  }

  const roots = model.levels[last].nodes.filter((node) => node.id && found(last, node.id));
  list.replaceChildren(...roots.map((node) => item(last, node.id)));
  const missing = model.levels[0].nodes.filter((node) => node.id && !found(0, node.id));
  absent.textContent = roots.length
    ? missing.length && `Not found: ${missing.map((node) => node.name).join(", ")}`
    : "No person was found in this photograph.";
  absent.hidden = !missing.length;

  return function update(chosen) {
    for (const { level, id, row, box, button } of rows) {
      box.checked = on[level][id];
      row.classList.toggle("off", !on[level][id]);
      const here = chosen?.level === level && chosen.id === id;
      const moved = here && !row.classList.contains("chosen");
      row.classList.toggle("chosen", here);
      // beside the photograph the list scrolls by itself; on a phone the page would jump
      if (moved && matchMedia("(min-width: 821px)").matches) row.scrollIntoView({ block: "nearest" });
      button.setAttribute("aria-pressed", here);
    }
  };
}

function element(name, className) {
  const made = document.createElement(name);
  if (className) made.className = className;
  return made;
}

function text(className, content) {
  const made = element("span", className);
  made.textContent = content;
  return made;
}
