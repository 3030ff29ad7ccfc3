// Reading the numbers of a drawing with the pointer or by keys. A drawing has parts in rows and columns. The part under the
// pointer, or the one that the arrow keys have reached, has a frame, and its numbers are shown beside it.
import { at, draw, make } from "../../elements.js";

const GAP = 10; // pixels between a part and what is said about it
const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
let tip = null;
let follow = null; // shows the text at the new place of its part after scrolling, if keys have led to it

// Shows what is said about a part, in one box for the whole view. Screen readers read it.
function say(text, box) {
  tip ??= at("inside").appendChild(make("div", { class: "tip", role: "status" }));
  if (tip.textContent !== text) tip.textContent = text;
  tip.classList.add("shown");
  const isLow = box.top > tip.offsetHeight + GAP;
  const left = box.left + box.width / 2 - tip.offsetWidth / 2;
  tip.style.top = `${isLow ? box.top - tip.offsetHeight - GAP : box.bottom + GAP}px`;
  tip.style.left = `${Math.max(8, Math.min(left, document.documentElement.clientWidth - tip.offsetWidth - 8))}px`;
}

export function hideTip() {
  tip?.classList.remove("shown");
  follow = null;
}

addEventListener("scroll", () => (follow ?? hideTip)(), { capture: true, passive: true });
addEventListener("keydown", (event) => { if (event.key === "Escape") hideTip(); });

// Makes the parts of an SVG readable.
//   rows, columns: their number; `box(row, column)`: the place of a part, {x, y, width, height} or null if there is none;
//   `find(x, y)`: the [row, column] of the part at a point, or null; `describe(row, column)`: the text about a part;
//   choose(row, column): called by a click, Enter or Space, if it is given; `chosen`: the [row, column] that has a frame.
export function readable(svg, { key, rows, columns, box, find, describe, choose = null, chosen = null }) {
  const frame = draw("rect", { class: "frame" });
  const cursor = draw("g", { class: "cursor", tabindex: 0, role: choose ? "button" : "img", "data-key": key }, frame);
  let [row, column] = chosen ?? [0, 0];

  function move(newRow, newColumn) {
    const place = box(newRow, newColumn);
    if (!place) return;
    [row, column] = [newRow, newColumn];
    for (const [name, value] of Object.entries(place)) frame.setAttribute(name, value);
    cursor.setAttribute("aria-label", describe(row, column));
  }

  const show = () => say(describe(row, column), frame.getBoundingClientRect());

  function showByKeys() {
    if (document.activeElement !== cursor) return hideTip();
    show();
    follow = showByKeys;
  }

  function byPointer(event) {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const found = find(point.x, point.y);
    svg.classList.toggle("pointed", Boolean(found));
    if (!found) return hideTip();
    move(...found);
    follow = null;
    return show();
  }

  svg.addEventListener("pointermove", byPointer);
  svg.addEventListener("pointerdown", byPointer);
  svg.addEventListener("pointerleave", () => { svg.classList.remove("pointed"); hideTip(); });
  svg.addEventListener("click", (event) => { if (svg.classList.contains("pointed") && event.detail) choose?.(row, column); });
  cursor.addEventListener("focus", () => requestAnimationFrame(showByKeys));
  cursor.addEventListener("blur", hideTip);
  cursor.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const step = STEPS[event.key];
    const isChoice = choose && (event.key === "Enter" || event.key === " ");
    if (step) move(row + step[0], column + step[1]);
    else if (event.key === "Home") move(row, 0);
    else if (event.key === "End") move(row, columns - 1);
    else if (!isChoice) return;
    event.preventDefault();
    frame.scrollIntoView({ block: "nearest", inline: "nearest" });
    if (isChoice) choose(row, column);
    else requestAnimationFrame(showByKeys);
  });
  if (chosen && box(...chosen)) svg.append(draw("rect", { class: "chosen", ...box(...chosen) }));
  svg.append(cursor);
  if (rows && columns) move(Math.min(row, rows - 1), Math.min(column, columns - 1));
  return svg;
}
