// The photograph, the map over it, and the pointer.

const LONGEST = 1600; // pixels of the canvases' longer side

export class Stage {
  // onPoint(x, y): the pixel of the photograph under the pointer, or null; onChoose: a click.
  constructor({ view, photo, map, cross, under, area }, onPoint, onChoose) {
    Object.assign(this, { view, photo, map, cross, under, area, onPoint, onChoose });
    this.at = null;
    view.addEventListener("pointermove", (event) => this.#point(event));
    view.addEventListener("pointerdown", (event) => this.#point(event));
    view.addEventListener("pointerleave", () => this.leave());
    view.addEventListener("click", () => this.at && onChoose());
    view.addEventListener("keydown", (event) => this.#key(event));
    view.addEventListener("blur", () => this.leave());
    new ResizeObserver(() => this.fit()).observe(area);
  }

  // image: what a canvas draws, or null where the browser cannot read the file.
  show(image, width, height) {
    this.size = { width, height };
    const scale = Math.min(1, LONGEST / Math.max(width, height));
    for (const canvas of [this.photo, this.map]) {
      canvas.width = Math.max(1, Math.round(width * scale));
      canvas.height = Math.max(1, Math.round(height * scale));
    }
    if (image) {
      this.photo.getContext("2d").drawImage(image, 0, 0, this.photo.width, this.photo.height);
    }
    this.view.hidden = false;
    this.fit();
  }

  fit() {
    if (!this.size || this.view.hidden) return;
    const { width, height } = this.size;
    const narrow = matchMedia("(max-width: 820px)").matches;
    const room = {
      width: this.area.clientWidth,
      height: narrow ? Math.round(innerHeight * 0.62) : this.area.clientHeight,
    };
    const enlarged = Math.max(1, 720 / Math.max(width, height)); // a small photograph is enlarged
    const scale = Math.min(room.width / width, room.height / height, enlarged);
    this.view.style.width = `${Math.round(width * scale)}px`;
    this.view.style.height = `${Math.round(height * scale)}px`;
  }

  // ids: of every pixel; colours: node id -> [r, g, b, alpha]; regions are outlined.
  paint(ids, colours) {
    const { width, height } = this.map;
    const { width: full, height: rows } = this.size;
    const image = new ImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const table = new Uint32Array(256);
    const bytes = new Uint8Array(table.buffer);
    colours.forEach((colour, id) => bytes.set(colour, 4 * id));
    const edges = table.map((_, id) => lightened(bytes, id));
    const columns = Int32Array.from({ length: width }, (_, x) => ((x + 0.5) * full) / width);
    let above = new Uint8Array(width);
    for (let y = 0; y < height; y++) {
      const start = Math.floor(((y + 0.5) * rows) / height) * full;
      const line = new Uint8Array(width);
      for (let x = 0; x < width; x++) {
        const id = ids[start + columns[x]];
        line[x] = id;
        const edge = (y && id !== above[x]) || (x && id !== line[x - 1]);
        pixels[y * width + x] = edge ? edges[id] || edges[above[x]] || edges[line[x - 1] || 0] : table[id];
      }
      above = line;
    }
    this.map.getContext("2d").putImageData(image, 0, 0);
  }

  // text: [name, path], or null.
  tell(text) {
    this.under.hidden = !text || !this.at;
    if (this.under.hidden) return;
    const [name, path] = text;
    this.under.replaceChildren(name);
    if (path) {
      const small = document.createElement("small");
      small.textContent = path;
      this.under.append(small);
    }
    const box = this.view.getBoundingClientRect();
    const left = ((this.at.x + 0.5) / this.size.width) * box.width;
    const top = ((this.at.y + 0.5) / this.size.height) * box.height;
    const { offsetWidth: w, offsetHeight: h } = this.under;
    this.under.style.left = `${Math.max(0, left + 16 + w < box.width ? left + 16 : left - 16 - w)}px`;
    this.under.style.top = `${top + 16 + h < box.height ? top + 16 : Math.max(0, top - 16 - h)}px`;
    this.cross.style.left = `${left}px`;
    this.cross.style.top = `${top}px`;
  }

  leave() {
    this.at = null;
    this.cross.hidden = true;
    this.onPoint(null);
  }

  #point(event) {
    const box = this.view.getBoundingClientRect();
    const x = Math.floor(((event.clientX - box.left) / box.width) * this.size.width);
    const y = Math.floor(((event.clientY - box.top) / box.height) * this.size.height);
    this.cross.hidden = event.pointerType === "mouse";
    this.#move(x, y);
  }

  #key(event) {
    const step = Math.max(1, Math.round(Math.max(this.size.width, this.size.height) / 60));
    const [dx, dy] =
      { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] || [];
    if (dx !== undefined) {
      const from = this.at || { x: this.size.width >> 1, y: this.size.height >> 1 };
      this.cross.hidden = false;
      this.#move(from.x + dx * step, from.y + dy * step);
    } else if ((event.key === "Enter" || event.key === " ") && this.at) {
      this.onChoose();
    } else return;
    event.preventDefault();
  }

  #move(x, y) {
    const inside = (value, size) => Math.min(size - 1, Math.max(0, value));
    this.at = { x: inside(x, this.size.width), y: inside(y, this.size.height) };
    this.onPoint(this.at);
  }
}

// The colour of a region's outline: halfway to white; 0 for what is not painted.
function lightened(bytes, id) {
  const [r, g, b, alpha] = bytes.subarray(4 * id, 4 * id + 4);
  if (!alpha) return 0;
  const half = Uint8Array.of((r + 255) >> 1, (g + 255) >> 1, (b + 255) >> 1, Math.min(255, alpha + 60));
  return new Uint32Array(half.buffer)[0];
}
