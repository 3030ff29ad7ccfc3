// Entry point of a page that `nmt inside` has written: the numbers are in the page itself.
import { at } from "../elements.js";
import { savedSource } from "./source.js";
import { Inside } from "./start.js";
import { isInsideAddress } from "./state.js";

const saved = JSON.parse(at("numbers").textContent);
new Inside(at("inside-view"), savedSource(saved)).show(isInsideAddress() ? {} : saved.start);
