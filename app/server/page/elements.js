// Finds and creates elements. Strings among the children are added as text, so that nothing in them is read as markup.
const SVG = "http://www.w3.org/2000/svg";

export const at = (id) => document.getElementById(id);

// Creates an HTML element. An attribute whose value is null is left out.
export const make = (name, attributes = {}, ...children) => filled(document.createElement(name), attributes, children);

// Creates an SVG element.
export const draw = (name, attributes = {}, ...children) => filled(document.createElementNS(SVG, name), attributes, children);

function filled(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) if (value !== null) element.setAttribute(key, value);
  element.append(...children);
  return element;
}
