// Files: chosen or dropped on the page, translated by the server, fetched by a link.
import { postForm, say } from "./server.js";

const LINK_MS = 9 * 60 * 1000; // a little less than the server keeps it

const at = (id) => document.getElementById(id);
let running = null;
let limit = Infinity;
let languages = () => [];
let forgetting = 0;

export function startFiles(settings, chosenLanguages) {
  limit = settings.bodyLimit;
  languages = chosenLanguages;
  at("file").accept = settings.supportedFilesFormat.join();
  at("file").addEventListener("change", () => {
    translateFile([...at("file").files]);
    at("file").value = "";
  });
  document.addEventListener("dragover", (event) => mark(event, true));
  document.addEventListener("dragleave", (event) => event.relatedTarget ?? mark(event, false));
  document.addEventListener("drop", (event) => {
    if (mark(event, false)) translateFile([...event.dataTransfer.files]);
  });
}

// Text that is dragged goes where it is dropped, as ever.
function mark(event, isOver) {
  if (!event.dataTransfer?.types.includes("Files")) return false;
  event.preventDefault();
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
    say(`${file.name} has ${file.size.toLocaleString()} bytes; at most ${limit.toLocaleString()} are taken.`);
    return;
  }
  running = new AbortController();
  const { signal } = running;
  const [source, target] = languages();
  const form = new FormData();
  for (const [name, value] of Object.entries({ file, source, target })) form.append(name, value);
  at("status").textContent = `Translating ${file.name} …${files.length > 1 ? " (one file at a time)" : ""}`;
  try {
    const found = await postForm("translate_file", form, signal);
    showLink(found.translatedFileUrl, file.name.replace(/(\.[^.]*)?$/, `.${target}$1`));
    at("status").textContent = files.length > 1 ? "One file at a time: the first is translated." : "";
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
  forgetting = setTimeout(hideLink, LINK_MS);
}

function hideLink() {
  clearTimeout(forgetting);
  at("download").hidden = true;
  at("download").removeAttribute("href");
}
