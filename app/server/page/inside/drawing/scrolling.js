// A box for what can be wider than the page, such as a table. It is scrolled sideways, by keys too.
import { make } from "../../elements.js";

// `name` says what is in the box; `key` keeps its focus.
export const scrolling = (key, name, content) =>
  make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": name, "data-key": key }, content);
