// How far a node trusts each of its sources, as bars.

const NAMES = { direct: "direct", top_down: "top-down", bottom_up: "bottom-up" };

export function drawGates(place, gates) {
  if (!gates) {
    place.textContent = "This network has no gates.";
    return;
  }
  place.replaceChildren(
    ...Object.entries(gates).map(([source, value]) => {
      const row = document.createElement("div");
      row.className = "gate";
      row.setAttribute("role", "meter");
      row.setAttribute("aria-valuemin", 0);
      row.setAttribute("aria-valuemax", 1);
      row.setAttribute("aria-valuenow", value.toFixed(2));
      row.setAttribute("aria-label", NAMES[source] || source);
      const name = document.createElement("span");
      name.textContent = NAMES[source] || source;
      const track = document.createElement("span");
      track.className = "track";
      const fill = document.createElement("i");
      fill.style.width = `${100 * value}%`;
      track.append(fill);
      const number = document.createElement("output");
      number.textContent = value.toFixed(2);
      row.append(name, track, number);
      return row;
    }),
  );
}
