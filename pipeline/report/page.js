document.querySelectorAll(".nojs").forEach((note) => note.remove());
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const byId = (id) => document.getElementById(id);

// ---- what the tables show ----

function showForest() {
  for (const forest of document.querySelectorAll(".forest")) {
    forest.hidden = forest.dataset.comparison !== byId("forest-comparison").value || forest.dataset.metric !== byId("forest-metric").value;
  }
}
if (byId("forest-metric")) {
  byId("forest-comparison").addEventListener("change", showForest);
  byId("forest-metric").addEventListener("change", showForest);
  showForest();
}
byId("results-group").addEventListener("change", (event) => {
  for (const table of document.querySelectorAll(".result")) table.hidden = table.dataset.group !== event.target.value;
});

// ---- plots ----

const plots = read("plots-data");
const browser = read("answers-data");
const {words, fields} = browser;

// A row of a plot as a tooltip shows it: columns and arms by their names.
function named(row) {
  const entries = Object.entries(row).map(([column, value]) => [fields[column] ?? column, column === "arm" ? browser.arms[value] ?? value : value]);
  return Object.fromEntries(entries);
}

async function draw(figure) {
  if (figure.dataset.drawn) return;
  figure.dataset.drawn = "yes";
  const plot = withArms(plots[figure.dataset.plot]);
  const sized = plot.spec || plot;
  const room = figure.parentElement.clientWidth;
  if (plot.columns) plot.columns = Math.max(1, Math.floor(room / 280));
  if (sized.width > room - 80) sized.width = Math.max(180, room - 80);
  const config = {...vegaTheme, legend: {...vegaTheme.legend, columns: room < 480 ? 3 : 8}};
  // ast: expressions are interpreted, so that the page's policy need not allow eval.
  const tooltip = {theme: "custom", formatTooltip: (row, asHtml) => asHtml(named(row))};
  await vegaEmbed(figure, plot, {actions: false, renderer: "svg", ast: true, config, tooltip});
  // A screen reader reads the name of the figure; else it would read out every part.
  figure.querySelector("svg").setAttribute("aria-hidden", "true");
}
// A plot in a closed <details> has no width; it is drawn when it opens.
for (const figure of document.querySelectorAll(".plot")) {
  const closed = figure.closest("details[data-draws]");
  if (closed) closed.addEventListener("toggle", () => draw(figure));
  else draw(figure);
}

// ---- answers ----

const ARMS = Object.keys(browser.arms);
const RANK = {critical: 0, neutral: 1, non_critical: 2};
const STEP = 10;
let shownCount = STEP;

// What a search ignores: vowel signs, tatweel, forms of alef, hamza seats, ta marbuta, alef maqsura, digits, case.
function fold(text) {
  return text.normalize("NFKC").toLowerCase()
    .replace(/[\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06ed\u061c\u200b-\u200f\u202a-\u202e\u2066-\u2069]/g, "")
    .replace(/[آأإٱ]/g, "ا").replace(/[ىئ]/g, "ي").replace(/ؤ/g, "و").replace(/ة/g, "ه").replace(/ء/g, "")
    .replace(/[٠-٩]/g, (digit) => digit.charCodeAt(0) - 0x660).replace(/\s+/g, " ").trim();
}

function folded(row) {
  if (row.folded === undefined) {
    const texts = [row.id, row.source, row.specialty || "", row.question, row.reference];
    for (const answers of Object.values(row.answers)) texts.push(...Object.values(answers));
    row.folded = fold(texts.join("\n"));
  }
  return row.folded;
}

// NLL per token of an arm less that of uniform, for the model, or for each model that has both.
function changes(row, model, arm) {
  const figures = model ? [row.nll[model]] : Object.values(row.nll);
  return figures.filter((nll) => nll && nll[arm] != null && nll.uniform != null).map((nll) => nll[arm] - nll.uniform);
}

const mean = (values) => values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : 0;

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

const CONTROL = new RegExp(`[${Object.keys(browser.controls).map((code) => `\\u${Number(code).toString(16).padStart(4, "0")}`).join("")}]`, "u");

// Text of data: never markup; characters that change its direction are shown by name.
function quoted(text, tag = "p") {
  const made = element(tag, "quoted");
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

// A part of a text that keeps its own direction, and a figure whose sign stands before it.
const rightToLeft = document.documentElement.dir === "rtl";
const isolated = (text) => rightToLeft ? `\u2068${text}\u2069` : text;
const leftToRight = (text) => rightToLeft ? `\u2066${text}\u2069` : text;
const filled = (message, values) => message.replace(/%\((\w+)\)s/g, (_, name) => values[name]);
// As findings.signed.
const signed = (value) => leftToRight((value < 0 ? "−" : "+") + Math.abs(value).toFixed(value !== 0 && Math.abs(value) < 0.00495 ? 4 : 3));

function box(kind, title, text, nll) {
  const made = element("div", kind);
  const head = element("h4", "", title);
  if (nll != null) head.append(element("span", "", `NLL ${nll.toFixed(3)}`));
  made.append(head, quoted(text));
  return made;
}

function card(row, model, arm) {
  const made = element("article");
  const head = element("h3");
  head.append(element("b", row.severity, browser.severities[row.severity]));
  head.append(element("span", "", words[row.by_people ? "by_people" : browser.guesser]));
  if (row.specialty) head.append(quoted(row.specialty, "bdi"));
  const difference = {comparison: browser.comparisons[`${arm}-uniform`], difference: signed(mean(changes(row, model, arm)))};
  head.append(quoted(row.id, "bdi"), quoted(row.source, "bdi"), element("span", "", filled(words.line, row)), element("span", "", filled(model ? words.of_model : words.over_models, difference)));
  made.append(head);
  const question = box("question", words.question, row.question);
  made.append(question);
  const shown = model ? [model] : Object.keys(row.answers);
  if (!model) made.append(box("question", words.reference, row.reference));
  for (const name of shown) {
    if (!model) made.append(element("h5", "", isolated(browser.titles[name])));
    const answers = element("div", "answers");
    if (model) answers.append(box("reference", words.reference, row.reference));
    for (const each of ARMS) {
      const kind = each === arm ? "compared" : "";
      answers.append(box(kind, browser.arms[each], row.answers[name]?.[each] ?? "", row.nll[name]?.[each]));
    }
    made.append(answers);
  }
  return made;
}

function showAnswers() {
  const severity = document.querySelector("input[name=severity]:checked").value;
  const model = byId("model").value;
  const arm = byId("arm").value;
  const terms = fold(byId("search").value).split(" ").filter(Boolean);
  const rows = browser.rows.filter((row) => (!severity || row.severity === severity) && terms.every((word) => folded(row).includes(word)));
  const key = {
    most: (row) => -mean(changes(row, model, arm).map(Math.abs)),
    gain: (row) => mean(changes(row, model, arm)),
    loss: (row) => -mean(changes(row, model, arm)),
    severity: (row) => RANK[row.severity],
  }[byId("order").value];
  rows.sort((one, other) => key(one) - key(other));
  byId("count").textContent = rows.length ? filled(words.shown, {shown: Math.min(shownCount, rows.length), total: rows.length}) : words.none;
  byId("cards").replaceChildren(...rows.slice(0, shownCount).map((row) => card(row, model, arm)));
  byId("more").hidden = rows.length <= shownCount;
}

byId("browser").addEventListener("submit", (event) => event.preventDefault());
byId("browser").addEventListener("input", () => { shownCount = STEP; showAnswers(); });
byId("more").addEventListener("click", () => {
  const before = shownCount;
  shownCount += STEP;
  showAnswers();
  const first = byId("cards").children[before];
  if (first) { first.tabIndex = -1; first.focus(); }
});
showAnswers();

// ---- print ----

// What is folded on a screen is read on paper, but for the parameters, and plots whose figures are in tables.
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open], .params, [data-draws], [hidden])")];
  for (const details of opened) details.open = true;
});
addEventListener("afterprint", () => { for (const details of opened) details.open = false; });
