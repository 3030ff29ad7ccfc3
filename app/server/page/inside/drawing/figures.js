// The frame of a figure: the drawing, a caption, and buttons that save the drawing as SVG or PNG.
import { draw, make } from "../../elements.js";

const SHARPNESS = 2; // pixels of a saved PNG for one of the page
const URL_MS = 60_000;
const STYLES = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray", "opacity",
  "font-family", "font-size", "font-weight", "text-anchor", "image-rendering"];

// A figure. `id` is its name on the page and the name of saved files; `drawing` is an SVG element.
export function figure({ id, caption }, drawing) {
  drawing.setAttribute("aria-label", caption);
  const button = (format, save) => {
    const label = `${format}: save this figure, ${caption}`;
    const made = make("button", { type: "button", "aria-label": label, "data-key": `${id}-${format}` }, format);
    made.addEventListener("click", () => save(drawing, id));
    return made;
  };
  return make("figure", { id },
    make("div", { class: "scroll" }, drawing),
    make("figcaption", {}, make("span", {}, caption),
      make("span", { class: "tools" }, button("SVG", saveSvg), button("PNG", savePng))));
}

// The drawing as a file of its own: with its colours as they are on the page, and without what only a page needs.
export function svgText(svg) {
  const copy = svg.cloneNode(true);
  const originals = svg.querySelectorAll("*");
  copy.querySelectorAll("*").forEach((node, i) => {
    const style = getComputedStyle(originals[i]);
    for (const name of STYLES) {
      const value = style.getPropertyValue(name);
      if (value) node.setAttribute(name, value);
    }
    if (style.display === "none") node.setAttribute("display", "none");
  });
  for (const node of copy.querySelectorAll(".cursor")) node.remove();
  const box = svg.viewBox.baseVal;
  const fill = getComputedStyle(svg.closest("figure")).backgroundColor;
  copy.prepend(draw("rect", { x: box.x, y: box.y, width: box.width, height: box.height, fill }));
  copy.setAttribute("width", box.width);
  copy.setAttribute("height", box.height);
  copy.setAttribute("color", getComputedStyle(svg).color);
  return new XMLSerializer().serializeToString(copy);
}

function saveSvg(svg, name) {
  save(new Blob([svgText(svg)], { type: "image/svg+xml" }), `${name}.svg`);
}

async function savePng(svg, name) {
  const image = new Image();
  image.src = `data:image/svg+xml,${encodeURIComponent(svgText(svg))}`;
  await image.decode();
  const canvas = make("canvas", { width: SHARPNESS * image.width, height: SHARPNESS * image.height });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  canvas.toBlob((blob) => save(blob, `${name}.png`));
}

function save(blob, name) {
  const address = URL.createObjectURL(blob);
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), URL_MS);
}
