// COCO run-lengths -> maps of node ids.

// The numbers of a compressed code: groups of five bits, lowest first; from the fourth number on
// the difference to the number two places before.
export function runLengths(code) {
  const runs = [];
  for (let i = 0; i < code.length; ) {
    let value = 0;
    let shift = 0;
    let bits;
    do {
      bits = code.charCodeAt(i++) - 48;
      value |= (bits & 31) << shift;
      shift += 5;
    } while (bits & 32);
    if (bits & 16 && shift < 32) value |= -1 << shift;
    runs.push(runs.length > 2 ? value + runs[runs.length - 2] : value);
  }
  return runs;
}

// {ids: Uint8Array of height * width, row by row, areas: Map of node id -> pixels} of one level.
export function levelMap(level, height, width) {
  const ids = new Uint8Array(height * width);
  const areas = new Map();
  for (const found of level.classes) {
    let column = 0;
    let row = 0;
    let inside = false;
    let area = 0;
    for (let run of runLengths(found.rle.counts)) {
      if (inside) area += run;
      while (run > 0) {
        const part = Math.min(run, height - row); // down to the end of the column
        if (inside && found.id) {
          for (let r = row, at = row * width + column; r < row + part; r++, at += width) {
            ids[at] = found.id;
          }
        }
        run -= part;
        row += part;
        if (row === height) {
          row = 0;
          column++;
        }
      }
      inside = !inside;
    }
    areas.set(found.id, area);
  }
  return { ids, areas };
}
