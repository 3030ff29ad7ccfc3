// Translation of files that the user chooses or drops on the page. A link downloads the result.
import { at } from "./elements.js";
import { postForm, showProblem } from "./server.js";
import { task } from "./task.js";
import { AUTO } from "./translate/languages.js";

const LINK_MS = 9 * 60 * 1000; // the server deletes the file after 10 minutes

let running = null;
let limit = Infinity;
let languages = () => [];
let hideTimer = 0;

export function startFiles(settings, chosenLanguages) {
  limit = settings.bodyLimit;
  languages = chosenLanguages;
  at("file").accept = settings.supportedFilesFormat.join();
  at("file").addEventListener("change", chooseFile);
  chooseFile(); // the user may have chosen a file while the page was loading
  document.addEventListener("dragover", (event) => dragFiles(event, true));
  document.addEventListener("dragleave", (event) => event.relatedTarget ?? dragFiles(event, false));
  document.addEventListener("drop", (event) => {
    if (dragFiles(event, false)) translateFile([...event.dataTransfer.files]);
  });
}

function chooseFile() {
  translateFile([...at("file").files]);
  at("file").value = "";
}

// Highlights the drop area while files are dragged. Returns false for dragged text, which the browser handles itself, and
// for a task without files.
function dragFiles(event, isOver) {
  if (!event.dataTransfer?.types.includes("Files")) return false;
  event.preventDefault(); // otherwise the browser would leave the page
  if (!task().between_languages) return false;
  at("drop").classList.toggle("dropping", isOver);
  return true;
}

async function translateFile(files) {
  const [file] = files;
  if (!file) return;
  running?.abort();
  hideLink();
  if (file.size > limit) {
    at("status").textContent = "";
    showProblem(`${file.name} has ${file.size.toLocaleString()} bytes; the limit is ${limit.toLocaleString()} bytes.`);
    return;
  }
  running = new AbortController();
  const { signal } = running;
  const [source, target] = languages();
  if (source === AUTO) {
    showProblem("The language of a file is not detected. Choose it under From, then choose the file again.");
    return;
  }
  const form = new FormData();
  for (const [name, value] of Object.entries({ file, source, target })) form.append(name, value);
  at("status").textContent = `Translating ${file.name} …${files.length > 1 ? " (only the first file)" : ""}`;
  try {
    const found = await postForm("translate_file", form, signal);
    showLink(found.translatedFileUrl, file.name.replace(/(\.[^.]*)?$/, `.${target}$1`));
    at("status").textContent = files.length > 1 ? "Only the first file was translated." : "";
  } catch (error) {
    if (error.name !== "AbortError") at("status").textContent = "";
  }
}

function showLink(url, name) {
  const link = at("download");
  link.href = `download_file/${new URL(url).pathname.split("/").pop()}`;
  link.download = link.title = name;
  link.hidden = false;
  link.focus();
  hideTimer = setTimeout(hideLink, LINK_MS);
}

function hideLink() {
  clearTimeout(hideTimer);
  at("download").hidden = true;
  at("download").removeAttribute("href");
}
