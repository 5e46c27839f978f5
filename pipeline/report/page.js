document.querySelectorAll(".nojs").forEach((note) => note.remove());
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const at = (id) => document.getElementById(id);

// ---- what the tables show ----

function choose() {
  for (const forest of document.querySelectorAll(".forest")) {
    forest.hidden = forest.dataset.comparison !== at("forest-comparison").value || forest.dataset.metric !== at("forest-metric").value;
  }
}
if (at("forest-metric")) {
  at("forest-comparison").addEventListener("change", choose);
  at("forest-metric").addEventListener("change", choose);
  choose();
}
at("results-group").addEventListener("change", (event) => {
  for (const table of document.querySelectorAll(".result")) table.hidden = table.dataset.group !== event.target.value;
});

// ---- plots ----

const plots = read("plots-data");

async function draw(figure) {
  if (figure.dataset.drawn) return;
  figure.dataset.drawn = "yes";
  const plot = plots[figure.dataset.plot];
  const room = figure.parentElement.clientWidth;
  if (plot.columns) plot.columns = Math.max(1, Math.floor(room / 280));
  if (plot.width > room - 80) plot.width = Math.max(180, room - 80);
  // ast: expressions are interpreted, so that the page's policy need not allow eval.
  await vegaEmbed(figure, plot, {actions: false, renderer: "svg", ast: true, config: vegaTheme, tooltip: {theme: "custom"}});
  // The figure is one image with a name; its parts would be read out one by one.
  figure.querySelector("svg").setAttribute("aria-hidden", "true");
}
// A plot in a closed <details> has no width; it is drawn when it opens.
for (const figure of document.querySelectorAll(".plot")) {
  const closed = figure.closest("details[data-draws]");
  if (closed) closed.addEventListener("toggle", () => draw(figure));
  else draw(figure);
}

// ---- answers ----

const browser = read("answers-data");
const RUNS = Object.keys(browser.runs);
const RANK = {critical: 0, neutral: 1, non_critical: 2};
const STEP = 10;
let most = STEP;

// What a search ignores: vowel signs, tatweel, forms of alef, hamza seats, ta marbuta, alef maqsura, digits, case.
function fold(text) {
  return text.normalize("NFKC").toLowerCase()
    .replace(/[\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06ed\u061c\u200b-\u200f\u202a-\u202e\u2066-\u2069]/g, "")
    .replace(/[آأإٱ]/g, "ا").replace(/[ىئ]/g, "ي").replace(/ؤ/g, "و").replace(/ة/g, "ه").replace(/ء/g, "")
    .replace(/[٠-٩]/g, (digit) => digit.charCodeAt(0) - 0x660).replace(/\s+/g, " ").trim();
}

function folded(row) {
  if (row.folded === undefined) {
    const texts = [row.id, row.specialty || "", row.question, row.reference];
    for (const runs of Object.values(row.answers)) texts.push(...Object.values(runs));
    row.folded = fold(texts.join("\n"));
  }
  return row.folded;
}

// weighting − uniform in NLL per token; without a model, the mean over those that have it.
function change(row, model) {
  const names = model ? [model] : Object.keys(row.nll);
  const found = names.map((name) => row.nll[name]).filter((nll) => nll && nll.weighting != null && nll.uniform != null);
  return found.length ? found.reduce((sum, nll) => sum + nll.weighting - nll.uniform, 0) / found.length : 0;
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

const CONTROL = new RegExp(`[${Object.keys(browser.controls).map((code) => `\\u${Number(code).toString(16).padStart(4, "0")}`).join("")}]`, "u");

// Text of data: never markup; characters that turn text are shown by name.
function said(text, tag = "p") {
  const made = element(tag, "said");
  if (/[\u0600-\u06ff]/.test(text)) {
    made.dir = "rtl";
    made.lang = "ar";
  } else made.dir = "auto";
  let plain = "";
  const flush = () => { if (plain) made.append(plain); plain = ""; };
  for (const character of text || "–") {
    if (CONTROL.test(character)) {
      flush();
      made.append(element("span", "control", browser.controls[character.codePointAt(0)]));
    } else plain += character;
  }
  flush();
  return made;
}

const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(3);

function box(className, title, text, nll) {
  const made = element("div", className);
  const head = element("h4", "", title);
  if (nll != null) head.append(element("span", "", `NLL ${nll.toFixed(3)}`));
  made.append(head, said(text));
  return made;
}

function card(row, model) {
  const made = element("article");
  const head = element("h3");
  head.append(element("b", row.severity, row.severity.replace("_", "-")));
  if (row.specialty) head.append(said(row.specialty, "bdi"));
  const where = model ? "" : ", mean over models";
  head.append(said(row.id, "bdi"), element("span", "", `severity-aware − CE${where}: ${signed(change(row, model))} nats per token`));
  made.append(head);
  const question = box("question", "Question", row.question);
  made.append(question);
  const shown = model ? [model] : Object.keys(row.answers);
  if (!model) made.append(box("question", "Reference", row.reference));
  for (const name of shown) {
    if (!model) made.append(element("h5", "", browser.titles[name]));
    const answers = element("div", "answers");
    if (model) answers.append(box("reference", "Reference", row.reference));
    for (const run of RUNS) answers.append(box(run, browser.runs[run], row.answers[name]?.[run] ?? "", row.nll[name]?.[run]));
    made.append(answers);
  }
  return made;
}

function list() {
  const severity = document.querySelector("input[name=severity]:checked").value;
  const model = at("model").value;
  const words = fold(at("search").value).split(" ").filter(Boolean);
  const found = browser.rows.filter((row) => (!severity || row.severity === severity) && words.every((word) => folded(row).includes(word)));
  const key = {
    most: (row) => -(model ? Math.abs(change(row, model)) : row.difference),
    gain: (row) => change(row, model),
    loss: (row) => -change(row, model),
    severity: (row) => RANK[row.severity],
  }[at("order").value];
  found.sort((one, other) => key(one) - key(other));
  at("count").textContent = found.length ? `${Math.min(most, found.length)} of ${found.length} complaints found are shown` : "No complaint is like that";
  at("cards").replaceChildren(...found.slice(0, most).map((row) => card(row, model)));
  at("more").hidden = found.length <= most;
}

at("browser").addEventListener("submit", (event) => event.preventDefault());
at("browser").addEventListener("input", () => { most = STEP; list(); });
at("more").addEventListener("click", () => {
  const before = most;
  most += STEP;
  list();
  const first = at("cards").children[before];
  if (first) { first.tabIndex = -1; first.focus(); }
});
list();
