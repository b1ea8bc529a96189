// The page: one photograph at a time, its result, and what is shown of it.

import { takePhoto } from "./camera.js";
import { coco, cutout, jsonBlob, labelPng, save } from "./files.js";
import { drawGates } from "./gates.js";
import { levelMap } from "./maps.js";
import { getModel, isReady, parse } from "./service.js";
import { Stage } from "./stage.js";
import { drawTree } from "./tree.js";

const $ = (id) => document.getElementById(id);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let model; // levels, classes and limits of the server's parser
let photo; // the file at hand
let image; // what the browser makes of it, or null
let result; // the server's answer
let maps = []; // of every level: node ids and areas
let on = []; // of every level: which nodes are shown
let level = 0; // the one that is shown
let chosen = null; // {level, id} of the node whose gates are shown
let hovered = 0; // the node of this level under the pointer
let updateTree = () => {};
let pending = null; // aborts the request that runs

const stage = new Stage(
  {
    view: $("view"),
    photo: $("photo"),
    map: $("map"),
    cross: $("cross"),
    under: $("under"),
    area: $("stage"),
  },
  pointAt,
  () => hovered && choose(level, hovered),
);

// the model

async function start() {
  model = await authorised(getModel);
  $("model").textContent = [model.hierarchy, model.network, model.step && `step ${model.step}`]
    .filter(Boolean)
    .join(" · ");
  $("consistent").checked = model.consistent;
  $("last-level").textContent = model.levels.length;
  on = model.levels.map((l) => l.nodes.map((node) => node.id > 0));
  $("levels").replaceChildren(
    ...model.levels.map(({ name }, index) => {
      const tab = document.createElement("button");
      tab.textContent = name;
      tab.setAttribute("role", "tab");
      tab.addEventListener("click", () => showLevel(index));
      tab.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!step) return;
        showLevel((level + step + model.levels.length) % model.levels.length);
        $("levels").children[level].focus();
      });
      return tab;
    }),
  );
  ready();
}

async function ready() {
  for (; !(await isReady()); await pause(1000)) say("The server is getting ready …");
  say();
}

// What ask() answers, after the user has given the token that the server wants.
async function authorised(ask) {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (error.status !== 401) throw error;
      $("token-dialog").showModal();
      await new Promise((resolve) => {
        $("token-form").onsubmit = (event) => {
          event.preventDefault();
          resolve();
        };
      });
      sessionStorage.setItem("token", $("token").value);
      $("token-dialog").close();
    }
  }
}

// a photograph

async function open(file) {
  if (!file || !(await started)) return;
  if (file.size > model.limits.bytes - 1024) {
    return say(`This file has more than ${Math.floor(model.limits.bytes / 2 ** 20)} MB.`, true);
  }
  pending?.abort();
  image?.close();
  photo = file;
  result = null;
  image = await createImageBitmap(file).catch(() => null);
  await ask();
}

async function ask() {
  pending?.abort();
  const request = (pending = new AbortController());
  $("progress").hidden = false;
  if (image && !result) showPhoto(image.width, image.height);
  try {
    await ready();
    if (request !== pending) return;
    say("Parsing …");
    const answer = await authorised(() => parse(photo, $("consistent").checked, request.signal));
    if (request !== pending) return;
    showResult(answer);
    say(image ? "" : "This browser cannot show the photograph; the map is shown alone.");
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!result) reset();
    say(error.message, true);
  } finally {
    if (request === pending) $("progress").hidden = true;
  }
}

function showPhoto(width, height) {
  $("welcome").hidden = true;
  $("new").hidden = false;
  stage.show(image, width, height);
}

function showResult(answer) {
  result = answer;
  maps = result.levels.map((entry) => levelMap(entry, result.height, result.width));
  const pixels = result.height * result.width;
  const shares = maps.map(({ areas }) => new Map([...areas].map(([id, n]) => [id, n / pixels])));
  $("main").classList.remove("empty");
  $("panel").hidden = false;
  showPhoto(result.width, result.height);
  updateTree = drawTree($("tree"), $("absent"), { model, shares, on }, refresh, choose);
  const top = model.levels.length - 1;
  const stays = chosen && shares[chosen.level].get(chosen.id);
  if (!stays) chosen = model.levels[top].nodes.slice(1).map((n) => ({ level: top, id: n.id }))[0];
  showLevel(level);
}

function reset() {
  pending?.abort();
  result = null;
  $("main").classList.add("empty");
  for (const id of ["panel", "view", "new", "progress"]) $(id).hidden = true;
  $("welcome").hidden = false;
  say();
  $("choose").focus();
}

// what is shown of it

function showLevel(index) {
  level = index;
  hovered = 0;
  [...$("levels").children].forEach((tab, i) => {
    tab.setAttribute("aria-selected", i === index);
    tab.tabIndex = i === index ? 0 : -1;
  });
  refresh();
}

function choose(atLevel, id) {
  chosen = { level: atLevel, id };
  if (atLevel !== level) showLevel(atLevel);
  else refresh();
}

function refresh() {
  if (!result) return;
  paint();
  updateTree(chosen);
  const node = model.levels[chosen.level].nodes[chosen.id];
  $("gates-of").textContent = node.name;
  drawGates($("gates"), result.levels[chosen.level].gates[node.name]);
  $("cutout-of").textContent = `Cut-out: ${node.name}`;
  const cut = document.querySelector("[data-file=cutout]");
  cut.disabled = !image || !maps[chosen.level].areas.get(chosen.id);
}

function paint() {
  const colours = model.levels[level].nodes.map(({ id, colour }) => {
    const dimmed = hovered && id !== hovered;
    return [...colour, on[level][id] ? (dimmed ? 80 : 255) : 0];
  });
  stage.paint(maps[level].ids, colours);
}

function pointAt(at) {
  if (!result) return;
  const under = at ? maps[level].ids[at.y * result.width + at.x] : 0;
  if (under !== hovered) {
    hovered = under;
    paint();
  }
  stage.tell(at && pathOf(level, under));
}

// [name, names of its ancestors]
function pathOf(atLevel, id) {
  const names = [];
  for (let l = atLevel, node = id; l < model.levels.length && node !== null; l++) {
    const entry = model.levels[l].nodes[node];
    names.push(entry.name);
    node = entry.parent;
  }
  return [names[0], id ? names.slice(1).join(" › ") : ""];
}

function setOpacity(value) {
  const percent = Math.min(100, Math.max(0, value));
  $("opacity").value = percent;
  $("opacity-value").textContent = `${percent} %`;
  $("map").style.opacity = percent / 100;
}

function say(line = "", error = false) {
  $("status").textContent = line;
  $("status").hidden = !line;
  $("status").classList.toggle("error", error);
}

// files

async function download(kind) {
  const stem = (photo.name || "photo").replace(/\.[^.]*$/, "") || "photo";
  const { height, width } = result;
  const { name, nodes } = model.levels[level];
  if (kind === "json") save(jsonBlob(result), `${stem}.json`);
  if (kind === "coco") save(jsonBlob(coco(result, model, maps, photo.name)), `${stem}_coco.json`);
  if (kind === "png") {
    const png = await labelPng(maps[level], width, height, nodes.map((node) => node.colour));
    save(png, level ? `${stem}_${name}.png` : `${stem}.png`);
  }
  if (kind === "cutout") {
    const { ids } = maps[chosen.level];
    const png = await cutout(image, width, height, (i) => ids[i] === chosen.id);
    save(png, `${stem}_${model.levels[chosen.level].nodes[chosen.id].name}.png`);
  }
}

// what the user does

$("choose").addEventListener("click", () => $("file").click());
$("new").addEventListener("click", reset);
for (const id of ["file", "capture"]) {
  $(id).addEventListener("change", () => {
    open($(id).files[0]);
    $(id).value = "";
  });
}
$("use-camera").addEventListener("click", async () => {
  try {
    const [dialog, video, shoot] = [$("camera"), $("video"), $("shoot")];
    await open(
      await takePhoto({ dialog, video, shoot, cancel: $("camera-cancel"), capture: $("capture") }),
    );
  } catch (error) {
    say(`No camera: ${error.message}`, true);
  }
});
$("opacity").addEventListener("input", () => setOpacity(Number($("opacity").value)));
$("consistent").addEventListener("change", ask);
for (const [id, value] of [["all", true], ["none", false]]) {
  $(id).addEventListener("click", () => {
    on.forEach((nodes) => nodes.forEach((_, i) => (nodes[i] = value && i > 0)));
    refresh();
  });
}
document.querySelectorAll("[data-file]").forEach((button) => {
  button.addEventListener("click", () =>
    download(button.dataset.file).catch((error) => say(error.message, true)),
  );
});

document.addEventListener("dragover", (event) => {
  event.preventDefault();
  $("stage").classList.add("over");
});
for (const kind of ["dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("stage").classList.remove("over");
  });
}
document.addEventListener("drop", (event) => open(event.dataTransfer.files[0]));
document.addEventListener("paste", (event) => open(event.clipboardData.files[0]));

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (document.querySelector("dialog[open]")) return;
  if (event.key === "n" && !$("new").hidden) reset();
  if (!result) return;
  if (model.levels[event.key - 1]) showLevel(event.key - 1);
  if (event.key === "[") setOpacity(Number($("opacity").value) - 10);
  if (event.key === "]") setOpacity(Number($("opacity").value) + 10);
  if (event.key === "h") $("map").hidden = !$("map").hidden;
});

setOpacity(Number($("opacity").value));
const started = start().then(
  () => true,
  (error) => say(error.message, true),
);
