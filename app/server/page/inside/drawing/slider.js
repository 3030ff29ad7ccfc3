// A slider for a number of the state, such as a position.
import { make } from "../../elements.js";

// `live` is that of the chapter. The input stays while the rest of the chapter is drawn again, so that it can be dragged.
//   most(now): the largest number; the smallest is 0; read(now): the number; write(number): called with the new number;
//   text(now): what is written behind the slider.
export function slider({ live, key, label, most, read, write, text }) {
  const input = make("input", { type: "range", min: 0, id: `slider-${key}`, "data-key": key });
  input.addEventListener("input", () => write(Number(input.value)));
  const follow = live((now) => {
    input.max = most(now);
    input.value = read(now);
    input.setAttribute("aria-valuetext", text(now));
    return make("output", { for: input.id }, text(now));
  });
  return make("div", { class: "range" }, make("label", { for: input.id }, label), input, follow);
}
