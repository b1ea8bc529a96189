// The files that can be saved, all made in the browser from one answer.

export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export const jsonBlob = (tree) => new Blob([JSON.stringify(tree, null, 1)], { type: "application/json" });

// COCO annotations of every node that was found.
export function coco(result, model, maps, fileName) {
  const annotations = [];
  result.levels.forEach((level, depth) => {
    for (const found of level.classes) {
      if (!found.id) continue; // background is what no annotation covers
      const [x0, y0, x1, y1] = found.box;
      annotations.push({
        id: annotations.length + 1,
        image_id: 1,
        category_id: found.id + 1000 * depth,
        segmentation: found.rle,
        area: maps[depth].areas.get(found.id),
        bbox: [x0, y0, x1 - x0, y1 - y0],
        iscrowd: 0,
      });
    }
  });
  const { height, width } = result;
  const images = [{ id: 1, file_name: fileName, height, width }];
  return { images, annotations, categories: model.categories };
}

// The photograph where shown(pixel) is true, transparent elsewhere.
export async function cutout(image, width, height, shown) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0, width, height);
  const pixels = context.getImageData(0, 0, width, height);
  const values = new Uint32Array(pixels.data.buffer);
  for (let i = 0; i < values.length; i++) if (!shown(i)) values[i] = 0;
  context.putImageData(pixels, 0, 0);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

// An indexed PNG whose values are node ids: canvases write colours alone.
export async function labelPng({ ids }, width, height, colours) {
  const rows = new Uint8Array((width + 1) * height); // each begins with its filter: 0, none
  for (let y = 0; y < height; y++) {
    rows.set(ids.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  }
  const zlib = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, 3], 8); // bits, palette
  const palette = new Uint8Array(3 * 256);
  colours.forEach((colour, i) => palette.set(colour, 3 * i));
  return new Blob(
    [
      Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10),
      chunk("IHDR", header),
      chunk("PLTE", palette),
      chunk("IDAT", new Uint8Array(await new Response(zlib).arrayBuffer())),
      chunk("IEND", new Uint8Array(0)),
    ],
    { type: "image/png" },
  );
}

const CRC = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? 0xedb88320 ^ (byte >>> 1) : byte >>> 1;
  return byte;
});

function chunk(kind, data) {
  const made = new Uint8Array(data.length + 12);
  const view = new DataView(made.buffer);
  view.setUint32(0, data.length);
  made.set(new TextEncoder().encode(kind), 4);
  made.set(data, 8);
  let crc = 0xffffffff;
  for (let i = 4; i < data.length + 8; i++) crc = CRC[(crc ^ made[i]) & 255] ^ (crc >>> 8);
  view.setUint32(data.length + 8, ~crc >>> 0);
  return made;
}
