// The view "Inside the Transformer": chapters that show the numbers of the loaded model for one sentence.
import { copyFrom } from "../clipboard.js";
import { make } from "../elements.js";
import { boxesOf, chapterOfBox, chaptersOf, current, openChapter } from "./chapters.js";
import { hideTip } from "./drawing/pointing.js";
import { failure } from "./failure.js";
import { picture, placeOfBox } from "./picture.js";
import { isInsideAddress, readAddress, State } from "./state.js";
import { hasSource } from "./tokens.js";

const CUT = "Only the beginning of the text was read. It is shown below.";
const NOTHING = "There is nothing here for the model to read. Text without letters is copied.";
const TEXT_FIELDS = "input, textarea";
const FIELDS = `${TEXT_FIELDS}, select, [role=tab], [role=radiogroup], .scroll[tabindex], .equation[tabindex]`; // they use the arrow keys
const WALK = { "[": -1, "]": 1, ArrowLeft: -1, ArrowRight: 1 };
const QUESTION = ["text", "source", "target", "domain"]; // the values that the numbers depend on
const WIDE = matchMedia("(min-width: 62rem)");

export class Inside {
  // `root` is the empty element of the view, `source` has the numbers (see source.js).
  constructor(root, source) {
    this.source = source;
    this.name = source.canAsk ? "nmt" : document.title; // behind the chapter in the title of the document
    this.titleOutside = null; // the title while the view is hidden
    this.state = new State(isInsideAddress() ? readAddress(location.hash) : {});
    this.found = null;
    this.open = null; // the shown chapter
    this.parts = frame(root, source.canAsk);
    this.parts.ask.addEventListener("submit", (event) => {
      event.preventDefault();
      this.state.set({ text: this.parts.sentence.value });
      if (!this.running) this.load(); // the same sentence again
    });
    this.parts.map.open = WIDE.matches;
    WIDE.addEventListener("change", () => { this.parts.map.open = WIDE.matches; });
    root.addEventListener("click", (event) => this.follow(event));
    addEventListener("keydown", (event) => this.walk(event));
    addEventListener("hashchange", () => isInsideAddress() && this.state.set(this.linked()));
    this.state.subscribe((values, names) => this.changed(names));
  }

  // The values in an address. A sentence or a language that it does not name stays as it is.
  linked(address = location.hash) {
    const given = Object.entries(readAddress(address));
    return Object.fromEntries(given.filter(([name, value]) => value !== null || !QUESTION.includes(name)));
  }

  // Shows the view, with these values of the state.
  show(values) {
    if (!this.isShown) this.titleOutside = document.title;
    this.isShown = true;
    this.state.set(values);
    this.writeAddress(false);
    if (this.found) this.writeTitle();
    if (!this.found && !this.running) this.load();
  }

  hide() {
    if (this.isShown) document.title = this.titleOutside;
    this.isShown = false;
    hideTip();
  }

  changed(names) {
    if (!this.isShown) return;
    this.writeAddress(names.has("chapter"));
    if (QUESTION.some((name) => names.has(name))) this.load();
    else if (this.found && names.has("chapter")) this.showChapter();
    else if (this.found) this.showPlace();
  }

  writeAddress(isNewPage) {
    const address = this.state.address();
    if (address === location.hash) return;
    history[isNewPage && isInsideAddress() ? "pushState" : "replaceState"](null, "", address);
  }

  writeTitle() {
    if (this.isShown) document.title = `${this.chapter.title}: ${this.name}`;
  }

  // Fetches the numbers of the sentence. What was shown stays until they are there.
  async load() {
    this.running?.abort();
    const running = this.running = new AbortController();
    const { values } = this.state;
    const { sentence, cut, said, chapter } = this.parts;
    if (sentence) sentence.value = values.text;
    cut.textContent = "Looking inside …";
    chapter.setAttribute("aria-busy", "true");
    try {
      const found = await this.source.overview(values, running.signal);
      if (running.signal.aborted) return;
      this.found = isEmpty(found) ? null : found;
      cut.textContent = isEmpty(found) ? NOTHING : found.is_cut ? CUT : "";
      said.replaceChildren(...(isEmpty(found) ? [] : saidLine(found)));
      if (isEmpty(found)) this.clear();
      else this.showChapter(false);
    } catch (error) {
      if (running.signal.aborted) return;
      cut.textContent = "";
      this.clear(failure(error, () => this.load()));
    }
    this.running = null;
    chapter.setAttribute("aria-busy", "false");
  }

  // Shows `nodes` in place of the chapter.
  clear(...nodes) {
    this.close();
    this.parts.place.hidden = true;
    for (const bar of this.parts.bars) bar.replaceChildren();
    this.parts.chapter.replaceChildren(...nodes);
  }

  close() {
    this.open?.close();
    this.open = null;
    hideTip();
  }

  get chapters() {
    return chaptersOf(this.found.model);
  }

  get chapter() {
    return this.chapters.find(({ id }) => id === this.state.values.chapter) ?? this.chapters[0];
  }

  showChapter(hasMoved = true) {
    this.close();
    const { chapter, found, parts, state, source } = this;
    this.open = openChapter(chapter, found, state, source);
    const heading = make("h2", { tabindex: -1 }, chapter.title);
    parts.chapter.replaceChildren(heading, this.open.element);
    this.writeTitle();
    parts.place.hidden = false;
    parts.page.classList.toggle("whole", chapter.id === "overview");
    this.showPlace();
    if (!hasMoved) return;
    heading.focus({ preventScroll: true });
    parts.bars[0].scrollIntoView({ block: "nearest" });
  }

  // Shows where one is: on the map and in the bars, whose links keep all that is chosen.
  showPlace() {
    const { chapter, chapters, found, parts, state } = this;
    const now = current(found, chapter, state.values);
    const address = (id) => state.address({ chapter: id });
    const focused = parts.map.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    const drawn = picture(found.model, {
      address: (box) => address(chapterOfBox(chapters, box).id), here: boxesOf(chapter, found, now),
    });
    drawn.setAttribute("aria-label", "The Transformer. Each box leads to its chapter.");
    parts.picture.replaceChildren(drawn);
    if (focused) parts.map.querySelector(`[data-key="${focused}"]`)?.focus({ preventScroll: true });
    for (const bar of parts.bars) fillBar(bar, chapters, chapter, state, address);
  }

  // Links to chapters change the state, so that the page need not be loaded again. A box leads to its place in the chapter.
  follow(event) {
    const link = event.target.closest("a");
    const address = link?.getAttribute("href");
    if (!address || !isInsideAddress(address) || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const { box, part } = link.dataset;
    this.state.set({ ...this.linked(address), ...(box ? placeOfBox(box, this.found.model) : {}) });
    if (part) document.getElementById(part)?.scrollIntoView();
  }

  walk(event) {
    const step = WALK[event.key];
    if (!step || !this.isShown || !this.open || event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey) return;
    const isArrow = event.key.startsWith("Arrow");
    if (event.target.closest(isArrow ? FIELDS : TEXT_FIELDS)) return;
    const next = this.chapters[this.chapters.indexOf(this.chapter) + step];
    if (!next) return;
    event.preventDefault();
    this.state.set({ chapter: next.id });
  }
}

// Creates the elements of the view that stay.
function frame(root, canAsk) {
  const sentence = canAsk ? make("input", { id: "sentence", dir: "auto", autocomplete: "off", required: "" }) : null;
  const ask = make("form", { id: "ask", class: "bar" });
  if (canAsk) {
    ask.append(make("label", {}, "Sentence ", sentence), make("button", { type: "submit", class: "main" }, "Look inside"));
  }
  const cut = make("span", { id: "cut", role: "status" });
  ask.append(cut);
  const said = make("p", { id: "said" });
  const picture = make("div", { class: "picture-box" });
  const map = make("details", { class: "map" }, make("summary", {}, "Map of the model"), picture);
  const chapter = make("div", { class: "chapter", id: "chapter" });
  const bars = ["Chapters", "Chapters, again"].map((name) => make("nav", { class: "walk", "aria-label": name }));
  const keys = make("p", { class: "hint" }, key("←"), " ", key("→"), " or ", key("["), " ", key("]"), " lead to the other chapters. ",
    key("Tab"), " leads to the figures. There, arrow keys go from number to number. The numbers are rounded to 16 bits on their ",
    "way to this page, so sums can differ in the last digit.");
  const place = make("div", { hidden: "" }, map);
  const page = make("div", { class: "page" }, place, make("div", { class: "reading" }, bars[0], chapter, bars[1], keys));
  root.replaceChildren(ask, said, page);
  return { ask, sentence, cut, said, picture, map, chapter, bars, place, page };
}

const key = (name) => make("kbd", {}, name);

// The links to the chapters before and after this one, the list of all, and the button that copies the address.
function fillBar(bar, chapters, chapter, state, address) {
  const focused = bar.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  const number = chapters.indexOf(chapter);
  const options = chapters.map(({ title }, i) => new Option(`${i + 1}. ${title}`, i));
  const list = make("select", { "aria-label": "Chapter", "data-key": "list" }, ...options);
  list.value = number;
  list.addEventListener("change", () => state.set({ chapter: chapters[list.value].id }));
  const copied = make("span", { role: "status", class: "copied" });
  const copy = make("button", { type: "button", "data-key": "copy" }, "Copy link");
  copy.addEventListener("click", async () => { copied.textContent = await copyFrom(bar, location.href); });
  const [before, after] = [step(chapters[number - 1], "prev", address), step(chapters[number + 1], "next", address)];
  bar.replaceChildren(before, list, after, copy, copied);
  if (focused) bar.querySelector(`[data-key=${focused}]`)?.focus({ preventScroll: true });
}

function step(chapter, rel, address) {
  const [name, arrow] = rel === "next" ? ["Next", "→"] : ["Previous", "←"];
  const parts = [make("span", { class: "word-of-link" }, name), arrow];
  if (rel === "prev") parts.reverse();
  const common = { class: "button", rel, "data-key": rel };
  if (!chapter) return make("a", { ...common, role: "link", "aria-disabled": "true", "aria-label": `No ${name.toLowerCase()} chapter` }, ...parts);
  const label = `${name} chapter: ${chapter.title}`;
  return make("a", { ...common, href: address(chapter.id), title: label, "aria-label": label }, ...parts);
}

// True if the model reads a source, and there is none. A language model writes without a prompt, too.
const isEmpty = (found) => hasSource(found) && !found.sentence;

// What was read, and what the model makes of it.
function saidLine({ sentence, translation, model, direction, fasterEngineIn }) {
  const lang = (code) => (model.task === "translation" ? code ?? null : null);
  return [make("bdi", { lang: lang(direction?.source) }, sentence), " → ",
    make("bdi", { id: "said-translation", lang: lang(direction?.target) }, translation),
    fasterEngineIn ? make("small", { id: "engines" }, `The tab “${fasterEngineIn}” uses a faster, less exact engine, so its output can ` +
      "differ.") : ""];
}
