"use strict";
// Everything can be read without this; it adds order, choice and filters.

function made(name, properties, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

// Dark and light: as the system has it, until somebody chooses.
{
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const button = made("button", { className: "theme", type: "button" });
  const say = () => { button.textContent = isDark() ? "Light colours" : "Dark colours"; };
  // Some browsers keep nothing for pages opened from disk.
  try { root.dataset.theme = localStorage.getItem("sweep-theme") ?? ""; } catch { }
  if (!root.dataset.theme) delete root.dataset.theme;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("sweep-theme", root.dataset.theme); } catch { }
    say();
  });
  system.addEventListener("change", say);
  say();
  document.querySelector("header").append(button);
}

// Tables sorted by any column: numbers by the first number of an entry, entries without one last.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const number = (text) => parseFloat(text.replace("−", "-").replace(/[^-+.\deE].*$/, ""));
  heads.forEach((head, column) => {
    const button = made("button", { type: "button", title: "Sort by this column" }, ...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const numeric = head.classList.contains("number");
      const first = numeric ? "descending" : "ascending";
      const other = numeric ? "ascending" : "descending";
      const order = head.getAttribute("aria-sort") === first ? other : first;
      for (const h of heads) h.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const keyed = [...table.tBodies[0].rows].map((row) => {
        const text = row.cells[column].textContent.trim();
        return { row, key: numeric ? number(text) : text };
      });
      keyed.sort((a, b) => {
        if (!numeric) return sign * a.key.localeCompare(b.key, "en", { numeric: true });
        if (isNaN(a.key) || isNaN(b.key)) return isNaN(a.key) - isNaN(b.key);
        return sign * (a.key - b.key);
      });
      table.tBodies[0].append(...keyed.map((entry) => entry.row));
    });
  });
}

// The main table: one view at a time.
for (const group of document.querySelectorAll("[data-views]")) {
  const views = [...group.querySelectorAll(".view")];
  if (views.length < 2) continue;
  const choices = made("div", { className: "choices" });
  choices.setAttribute("role", "group");
  choices.setAttribute("aria-label", group.dataset.views);
  const buttons = views.map((view) => made("button", { type: "button" }, view.dataset.name));
  const choose = (chosen) => views.forEach((view, i) => {
    view.hidden = i !== chosen;
    view.querySelector("h3").hidden = true;
    buttons[i].setAttribute("aria-pressed", String(i === chosen));
  });
  buttons.forEach((button, i) => button.addEventListener("click", () => choose(i)));
  choices.append(...buttons);
  group.prepend(choices);
  choose(0);
}

// The list of runs: words anywhere in a row, and one value of a column.
for (const place of document.querySelectorAll("[data-filter]")) {
  const table = document.querySelector("#run-list");
  const rows = [...table.tBodies[0].rows];
  const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const words = made("input", { type: "search", size: 18 });
  const shown = made("output", {});
  const selects = place.dataset.filter.split(",").map((name) => {
    const column = names.indexOf(name);
    const values = [...new Set(rows.map((row) => row.cells[column].textContent))].sort();
    const options = values.map((value) => made("option", { value }, value));
    const select = made("select", {}, made("option", { value: "" }, "all"), ...options);
    return { name, column, select };
  });
  const filter = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const fits = wanted.every((word) => texts.get(row).includes(word))
        && selects.every((s) => !s.select.value || row.cells[s.column].textContent === s.select.value);
      row.hidden = !fits;
      count += fits;
    }
    shown.textContent = `${count} of ${rows.length} runs shown`;
  };
  place.className = "filters";
  place.append(made("label", {}, "words", words),
    ...selects.map((s) => made("label", {}, s.name, s.select)), shown);
  words.addEventListener("input", filter);
  for (const s of selects) s.select.addEventListener("change", filter);
  filter();
}
