"use strict";
const content = JSON.parse(document.getElementById("content").textContent);
const byId = (id) => document.getElementById(id);
const TIE = "tie";
// Of the CSV; pipeline/commands/review/sheets.py reads it.
const COLUMNS = ["round", "rater", "saved", "item", "letter", ...content.scales.map((scale) => scale.name), "preferred", "remark"];

const WORDS = {
  ar: {
    title: "تقييم الأجوبة",
    notice: "برنامج بحثي، وليس جهازا طبيا.",
    other: "English",
    intro: [
      "ستقرأ شكاوى كتبها مرضى، وتحت كل شكوى عدة أجوبة بلا أسماء: A و B وهكذا. قيّم كل جواب على حدة، ثم اختر الجواب الذي تفضّله.",
      "يتغيّر ترتيب الأجوبة من شكوى إلى أخرى، فلا يدل الحرف على شيء.",
      "قد تعود شكوى مرة أخرى: قيّمها كأنك تراها أول مرة.",
      "قيّم المضمون كما تقيّمه في عملك، ولا تبحث عمن كتب الجواب.",
      "لا تكتب في الملاحظة ما يدل على شخص.",
      "يُحفظ تقدّمك في هذا المتصفح وحده، ولا ترسل هذه الصفحة شيئا. عند الانتهاء احفظ الملف وأعده إلى من أرسل إليك الصفحة.",
    ],
    keys: "بلوحة المفاتيح: Tab للانتقال، و1 إلى 9 للاختيار ثم الانتقال إلى السؤال التالي.",
    begin: "ابدأ", goOn: "تابع التقييم", overview: "القائمة والحفظ",
    position: (place, count) => `${place} من ${count}`, done: (count) => `اكتمل ${count}`,
    complaint: "الشكوى", answer: "الجواب", empty: "(جواب فارغ)",
    preferred: "أي جواب تفضّل؟", tie: "لا فرق", remark: "ملاحظة", optional: "(اختيارية)",
    back: "السابقة", next: "التالية", finish: "إلى الحفظ",
    missing: (count) => count ? `بقي هنا ${count} من الأسئلة` : "اكتملت هذه الشكوى",
    saving: "القائمة والحفظ", summary: (done, count) => `اكتمل ${done} من ${count} شكوى.`,
    all: "اكتمل كل شيء. احفظ الملف وأعده إلى من أرسل إليك الصفحة.",
    some: "يمكنك أن تحفظ الآن وتتابع لاحقا.",
    json: "احفظ الملف (JSON)", csv: "احفظ جدولا (CSV)", load: "تابع من ملف محفوظ",
    state: {none: "لم تبدأ", part: "ناقصة", done: "مكتملة"},
    saved: (name) => `حُفظ ${name}. أعده إلى من أرسل إليك الصفحة.`, loaded: (count) => `قُرئ الملف: اكتملت ${count} شكوى.`,
    wrong: "لم يُقرأ الملف: ليس ملفا محفوظا من هذه الصفحة.",
    noStorage: "لا يحفظ هذا المتصفح تقدّمك. احفظ الملف قبل إغلاق الصفحة، ثم تابع منه لاحقا.",
  },
  en: {
    title: "Rating of answers",
    notice: "Research software, not a medical device.",
    other: "العربية",
    intro: [
      "You will read complaints that patients wrote. Below each are several answers without names: A, B and so on. Rate each answer by itself, then choose the one that you prefer.",
      "The order of the answers changes from complaint to complaint: a letter means nothing.",
      "A complaint may come again: judge it as if you saw it for the first time.",
      "Judge as you would at work, and do not try to find out who wrote an answer.",
      "Write nothing in a remark that tells who somebody is.",
      "Your progress is kept in this browser only, and this page sends nothing. When you are done, save the file and return it to whoever sent you this page.",
    ],
    keys: "With a keyboard: Tab moves on, 1 to 9 chooses and goes to the next question.",
    begin: "Begin", goOn: "Go on rating", overview: "List and saving",
    position: (place, count) => `${place} of ${count}`, done: (count) => `${count} done`,
    complaint: "Complaint", answer: "Answer", empty: "(an empty answer)",
    preferred: "Which answer do you prefer?", tie: "No difference", remark: "Remark", optional: "(if you like)",
    back: "Back", next: "Next", finish: "To saving",
    missing: (count) => count ? `Questions left here: ${count}` : "This complaint is done",
    saving: "List and saving", summary: (done, count) => `${done} of ${count} complaints are done.`,
    all: "All is done. Save the file and return it to whoever sent you this page.",
    some: "You can save now and go on later.",
    json: "Save the file (JSON)", csv: "Save a table (CSV)", load: "Go on from a saved file",
    state: {none: "not begun", part: "not complete", done: "done"},
    saved: (name) => `${name} is saved. Return it to whoever sent you this page.`, loaded: (count) => `The file was read: ${count} complaints are done.`,
    wrong: "The file was not read: it was not saved by this page.",
    noStorage: "This browser does not keep your progress. Save the file before you close the page, and go on from it later.",
  },
};

// ---- what has been rated, and where it is kept ----

// Item to {answers: {letter: {scale: value}}, preferred, remark}; what is not rated yet is not there.
let ratings = {};
let language = "ar";
// "start", "overview" or the number of a complaint, from 0; and the complaint that was seen last.
let view = "start";
let last = 0;
let keeps = true;
let unsaved = false;
let changes = 0;

// IndexedDB, not localStorage: Chromium now and then gives a page from disk that uses localStorage
// while it loads a store that is thrown away. Each item has a key of its own: writing one cannot undo
// what another tab has written of another.
const database = new Promise((resolve, reject) => {
  const request = indexedDB.open("wazn-review", 1);
  request.onupgradeneeded = () => request.result.createObjectStore("kept");
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

const ended = (transaction) => new Promise((resolve, reject) => {
  transaction.oncomplete = resolve;
  transaction.onabort = () => reject(transaction.error);
});

async function store(name, value) {
  try {
    const transaction = (await database).transaction("kept", "readwrite");
    const key = [content.round, content.rater, name];
    if (value) transaction.objectStore("kept").put(value, key);
    else transaction.objectStore("kept").delete(key);
    transaction.commit();
    await ended(transaction);
    keeps = true;
  } catch {
    keeps = false;
  }
  showHead();
}

const storePlace = () => store("", {last, language});

// What is stored is never older than what is shown: another tab may have gone on.
async function restore() {
  const before = JSON.stringify([given(), language]);
  try {
    const own = [content.round, content.rater];
    const earlier = changes;
    const request = (await database).transaction("kept").objectStore("kept").getAll(IDBKeyRange.bound(own, [...own, []]));
    await ended(request.transaction);
    // What was rated in the meantime is not in what was read.
    if (changes !== earlier) return restore();
    ratings = {...ratings, ...allowed(request.result)};
    const place = request.result.find((value) => "last" in value);
    if (place && view === "start") {
      language = place.language === "en" ? "en" : "ar";
      last = Math.min(Math.max(Number(place.last) || 0, 0), content.items.length - 1);
    }
  } catch {
    // Private windows and some phones have none.
    keeps = false;
  }
  if (JSON.stringify([given(), language]) === before) showHead();
  else show();
}

// Of a list as `given` makes it, what fits the items and scales of this page.
function allowed(list) {
  const found = {};
  for (const {item, answers, preferred, remark} of list) {
    const shown = content.items.find((each) => each.item === item);
    if (!shown) continue;
    const rated = {answers: {}, remark: String(remark || "")};
    for (const letter of Object.keys(shown.answers)) {
      rated.answers[letter] = {};
      for (const {name, steps} of content.scales) {
        const value = answers?.[letter]?.[name];
        if (steps.some((step) => step.value === value)) rated.answers[letter][name] = value;
      }
    }
    if (preferred === TIE || preferred in shown.answers) rated.preferred = preferred;
    found[item] = rated;
  }
  return found;
}

// What has been rated, in the order of the page: items without anything are left out.
function given() {
  return content.items.map(({item}) => item).filter((item) => state(item) !== "none" || ratings[item]?.remark).map(rating);
}

const rating = (item) => ({
  item, answers: ratings[item].answers, preferred: ratings[item].preferred ?? null, remark: ratings[item].remark,
});

function rated(item) {
  const {answers} = content.items.find((each) => each.item === item);
  ratings[item] ??= {answers: Object.fromEntries(Object.keys(answers).map((letter) => [letter, {}])), remark: ""};
  return ratings[item];
}

function missing(item) {
  const {answers} = content.items.find((each) => each.item === item);
  const questions = Object.keys(answers).length * content.scales.length + 1;
  const found = ratings[item];
  if (!found) return questions;
  const steps = Object.values(found.answers).reduce((sum, of) => sum + Object.keys(of).length, 0);
  return questions - steps - (found.preferred === undefined ? 0 : 1);
}

function state(item) {
  const left = missing(item);
  if (!left) return "done";
  const {answers} = content.items.find((each) => each.item === item);
  return left === Object.keys(answers).length * content.scales.length + 1 ? "none" : "part";
}

const doneCount = () => content.items.filter(({item}) => state(item) === "done").length;

function changed(...items) {
  unsaved = true;
  changes += 1;
  for (const item of items) store(item, ratings[item] ? rating(item) : null);
  showHead();
}

// ---- files ----

function download(name, text, type) {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([text], {type}));
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  unsaved = false;
  byId("said").textContent = WORDS[language].saved(name);
  byId("result").textContent = WORDS[language].saved(name);
}

function saveJson() {
  const values = {format: 1, round: content.round, rater: content.rater, saved: new Date().toISOString(), ratings: given()};
  download(`${content.rater}.json`, JSON.stringify(values, null, 1) + "\n", "application/json");
}

function csvCell(value) {
  const text = String(value ?? "");
  // A spreadsheet program takes what begins so for a formula.
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function saveCsv() {
  const saved = new Date().toISOString();
  const rows = given().flatMap(({item, answers, preferred, remark}) => Object.entries(answers).map(([letter, values]) => [
    content.round, content.rater, saved, item, letter, ...content.scales.map(({name}) => values[name]), preferred, remark,
  ]));
  // By its mark, spreadsheet programs know that it is UTF-8.
  download(`${content.rater}.csv`, "\ufeff" + [COLUMNS, ...rows].map((row) => row.map(csvCell).join(",") + "\r\n").join(""), "text/csv;charset=utf-8");
}

async function load(file) {
  const words = WORDS[language];
  let message = words.wrong;
  try {
    const read = JSON.parse(await file.text());
    if (read.format === 1 && read.round === content.round && read.rater === content.rater) {
      ratings = allowed(read.ratings);
      message = words.loaded(doneCount());
      changed(...content.items.map(({item}) => item));
      show();
    }
  } catch {
    // No JSON, or not of this form.
  }
  byId("result").textContent = message;
  byId("said").textContent = message;
}

// ---- what is shown ----

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// Text of a patient or an answer: never markup.
function quoted(text) {
  const made = element("p", {className: "text", textContent: text.trim() ? text : WORDS[language].empty});
  if (/[\u0600-\u06ff]/.test(made.textContent)) Object.assign(made, {lang: "ar", dir: "rtl"});
  else made.dir = "auto";
  return made;
}

const button = (text, action, className = "") => element("button", {type: "button", textContent: text, className, onclick: action});

// A question with one native radio button for each step.
function question(group, title, steps, value, choose) {
  const isNumbered = steps.every((step) => typeof step.value === "number");
  const options = element("div", {className: isNumbered ? "steps" : "steps words"});
  steps.forEach((step, place) => {
    const input = element("input", {type: "radio", name: group, value: step.value, checked: step.value === value});
    input.addEventListener("change", () => choose(step.value));
    const number = element("b", {textContent: place + 1});
    // It is the value itself, or the key to press.
    if (!isNumbered) number.setAttribute("aria-hidden", "true");
    options.append(element("label", {}, input, element("span", {}, number, element("span", {className: "label", textContent: step.label[language]}))));
  });
  return element("fieldset", {}, element("legend", {textContent: title}), options);
}

function showItem(place) {
  const words = WORDS[language];
  const {item, complaint, answers} = content.items[place];
  const letters = Object.keys(answers);
  const of = ratings[item];
  const cards = letters.map((letter) => {
    const card = element("section", {className: "answer"});
    const head = element("h2", {id: `answer-${letter}`}, `${words.answer} `, element("b", {textContent: letter}));
    card.setAttribute("aria-labelledby", head.id);
    card.append(head, quoted(answers[letter]));
    for (const {name, question: asked, steps} of content.scales) {
      card.append(question(`${letter}-${name}`, asked[language], steps, of?.answers[letter][name], (value) => { rated(item).answers[letter][name] = value; changed(item); }));
    }
    return card;
  });
  const choices = [...letters.map((letter) => ({value: letter, label: {ar: letter, en: letter}})), {value: TIE, label: {ar: WORDS.ar.tie, en: WORDS.en.tie}}];
  const remark = element("textarea", {id: "remark", value: of?.remark ?? "", maxLength: 2000, dir: "auto"});
  remark.addEventListener("input", () => { rated(item).remark = remark.value; changed(item); });
  const verdict = element("section", {className: "verdict"},
    question("preferred", words.preferred, choices, of?.preferred, (value) => { rated(item).preferred = value; changed(item); }),
    element("label", {htmlFor: "remark"}, `${words.remark} `, element("span", {textContent: words.optional})), remark);
  const isLast = place === content.items.length - 1;
  const back = button(words.back, () => go(place - 1), "back");
  back.disabled = place === 0;
  const next = button(isLast ? words.finish : words.next, () => go(isLast ? "overview" : place + 1), "main");
  next.id = "next";
  byId("main").replaceChildren(
    element("section", {className: "complaint"}, element("h1", {tabIndex: -1}, words.complaint, element("span", {className: "unseen", textContent: ` ${words.position(place + 1, content.items.length)}`})), quoted(complaint)),
    element("div", {className: "answers"}, ...cards), verdict,
    element("div", {className: "move"}, back, element("p", {id: "missing", className: "dim"}), next));
}

function showStart() {
  const words = WORDS[language];
  const begun = given().length > 0;
  byId("main").replaceChildren(
    element("h1", {textContent: words.title, tabIndex: -1}),
    element("ul", {}, ...words.intro.map((line) => element("li", {textContent: line}))),
    element("p", {className: "dim keys", textContent: words.keys}),
    element("div", {className: "actions"}, button(begun ? words.goOn : words.begin, () => go(last), "main"), ...(begun ? [] : [loader()])),
    element("p", {id: "result"}));
}

function loader() {
  const input = element("input", {type: "file", accept: ".json,application/json", id: "file"});
  input.addEventListener("change", () => { if (input.files[0]) load(input.files[0]); });
  return element("label", {className: "file"}, WORDS[language].load, input);
}

function showOverview() {
  const words = WORDS[language];
  const done = doneCount();
  const next = content.items.findIndex(({item}) => state(item) !== "done");
  const places = content.items.map(({item}, place) => {
    const made = button(place + 1, () => go(place), state(item));
    made.setAttribute("aria-label", `${words.complaint} ${words.position(place + 1, content.items.length)}: ${words.state[state(item)]}`);
    return element("li", {}, made);
  });
  byId("main").replaceChildren(
    element("h1", {textContent: words.saving, tabIndex: -1}),
    element("p", {textContent: `${words.summary(done, places.length)} ${done === places.length ? words.all : words.some}`}),
    element("div", {className: "actions"}, element("button", {type: "button", id: "json", className: "main", textContent: words.json, onclick: saveJson}), element("button", {type: "button", id: "csv", textContent: words.csv, onclick: saveCsv}), loader(), ...(next < 0 ? [] : [button(words.goOn, () => go(next), "next")])),
    element("p", {id: "result"}),
    element("ol", {className: "places"}, ...places));
}

function showHead() {
  const words = WORDS[language];
  const done = doneCount();
  byId("notice").textContent = words.notice;
  byId("storage").hidden = keeps;
  byId("storage").textContent = keeps ? "" : words.noStorage;
  byId("where").replaceChildren(typeof view === "number" ? `${words.complaint} ${words.position(view + 1, content.items.length)}` : words.title, " ", element("span", {textContent: `· ${words.done(done)}`}));
  byId("overview").textContent = words.overview;
  byId("overview").hidden = view === "overview";
  byId("language").textContent = words.other;
  byId("language").lang = language === "ar" ? "en" : "ar";
  byId("bar").value = done / content.items.length;
  byId("bar").setAttribute("aria-label", words.summary(done, content.items.length));
  if (typeof view === "number") byId("missing").textContent = words.missing(missing(content.items[view].item));
}

function show() {
  document.documentElement.lang = language;
  document.documentElement.dir = language === "ar" ? "rtl" : "ltr";
  document.title = WORDS[language].title;
  if (view === "start") showStart();
  else if (view === "overview") showOverview();
  else showItem(view);
  showHead();
}

function go(to) {
  view = to;
  if (typeof to === "number") {
    last = to;
    storePlace();
  }
  show();
  window.scrollTo(0, 0);
  document.querySelector("h1").focus({preventScroll: true});
}

// ---- keys ----

// A number chooses a step of the question that has the focus, and goes on to the next question.
document.addEventListener("keydown", (event) => {
  const group = event.target.type === "radio" && event.target.closest("fieldset");
  const digit = "123456789".indexOf(event.key) + 1 || "١٢٣٤٥٦٧٨٩".indexOf(event.key) + 1;
  if (!group || !digit || event.key.length !== 1 || event.ctrlKey || event.metaKey || event.altKey) return;
  const input = group.querySelectorAll("input")[digit - 1];
  if (!input) return;
  event.preventDefault();
  input.click();
  const groups = [...document.querySelectorAll("fieldset")];
  const following = groups[groups.indexOf(group) + 1];
  (following ? following.querySelector("input:checked") || following.querySelector("input") : byId("next")).focus();
});

byId("overview").addEventListener("click", () => go("overview"));
byId("language").addEventListener("click", () => {
  language = language === "ar" ? "en" : "ar";
  storePlace();
  show();
});
window.addEventListener("focus", restore);
window.addEventListener("beforeunload", (event) => { if (!keeps && unsaved) event.preventDefault(); });

show();
const restored = restore();
