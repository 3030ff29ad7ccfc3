// What is shown in place of something that failed.
import { make } from "../elements.js";
import { MissingNumbersError } from "./source.js";

// `again` is called by the button. There is no button if the page cannot get the numbers at all.
export function failure(error, again) {
  if (error instanceof MissingNumbersError) {
    return make("div", { class: "failure missing-numbers", role: "alert" }, make("p", {}, error.message));
  }
  const button = make("button", { type: "button" }, "Try again");
  button.addEventListener("click", again);
  return make("div", { class: "failure", role: "alert" }, make("p", {}, `This did not work: ${error.message}`), button);
}
