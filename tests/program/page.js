// Put into a copy of a report's page: uses it as a person would and writes down what it found.
"use strict";
window.addEventListener("load", () => {
  const wrong = window.wrong;
  const check = (fits, what) => { if (!fits) wrong.push(what); };
  const texts = (table, column) => [...table.tBodies[0].rows].map((row) => row.cells[column].textContent.trim());
  const head = (table, name) => [...table.tHead.rows[0].cells].findIndex((cell) => cell.textContent.trim() === name);
  const visible = (element) => element.getClientRects().length > 0;
  const page = document.documentElement;

  // Nothing reaches over the edge, but inside boxes that scroll.
  check(innerWidth === Number(page.dataset.width), `the window is ${innerWidth} wide`);
  check(page.scrollWidth <= innerWidth, `the page is ${page.scrollWidth} wide`);
  for (const element of document.body.querySelectorAll("*")) {
    if (element.closest(".scroll, .card, script") && !element.matches(".scroll, .card")) continue;
    const { right } = element.getBoundingClientRect();
    check(right <= innerWidth + 1, `${element.tagName} ${element.className} reaches to ${right}`);
  }

  // Sorting, by number with entries without one last, and by text.
  const runs = document.querySelector("#run-list");
  const count = runs.tBodies[0].rows.length;
  const press = (name) => runs.tHead.rows[0].cells[head(runs, name)].querySelector("button").click();
  const scores = () => texts(runs, head(runs, "score")).map((text) => parseFloat(text));
  for (const [order, sign] of [["descending", -1], ["ascending", 1]]) {
    press("score");
    const found = scores();
    const known = found.filter((score) => !isNaN(score));
    check(runs.tHead.rows[0].cells[head(runs, "score")].getAttribute("aria-sort") === order, `no mark ${order}`);
    check(known.length > 10 && known.every((score, i) => i === 0 || sign * (score - known[i - 1]) >= 0), order);
    check(found.slice(known.length).every(isNaN) && known.length < found.length, `${order}: entries without a score come last`);
  }
  press("mode");
  const modes = texts(runs, head(runs, "mode"));
  check(modes.every((mode, i) => i === 0 || modes[i - 1].localeCompare(mode, "en") <= 0), "sorted by mode");
  check(runs.querySelectorAll("[aria-sort]").length === 1, "one column at a time is marked");
  check([...document.querySelectorAll("th")].every((th) => th.scope), "each heading has a scope");

  // Filters.
  const shown = () => [...runs.tBodies[0].rows].filter(visible);
  const [task, mode, status] = document.querySelectorAll(".filters select");
  const choose = (select, value) => { select.value = value; select.dispatchEvent(new Event("change")); };
  check(shown().length === count && count === 51, `${shown().length} of ${count} rows at first`);
  choose(status, "diverged");
  check(shown().length === 1 && shown()[0].querySelector("pre").textContent.includes("last words"), "the failed run and its log");
  choose(status, "");
  choose(task, "tweets-rating");
  choose(mode, "vanilla");
  check(shown().length === 9, `${shown().length} runs of vanilla on tweets`);
  const words = document.querySelector(".filters input");
  words.value = "VANILLA train_size=30";
  words.dispatchEvent(new Event("input"));
  check(shown().length === 3, `${shown().length} runs by words`);
  check(document.querySelector(".filters output").textContent === `3 of ${count} runs shown`, "the count is said");

  // Views of the main table.
  const views = [...document.querySelectorAll(".view")];
  const buttons = [...document.querySelectorAll(".choices button")];
  check(buttons.length === 4, `${buttons.length} views`);
  buttons.forEach((button, i) => {
    button.click();
    check(views.every((view, j) => visible(view) === (i === j)), `one view at a time: ${button.textContent}`);
    check(button.getAttribute("aria-pressed") === "true", `pressed: ${button.textContent}`);
  });

  // Colours: ink and page stand apart in both, and change.
  const colours = () => { const s = getComputedStyle(document.body); return `${s.color} on ${s.backgroundColor}`; };
  const before = colours();
  document.querySelector(".theme").click();
  check(colours() !== before, `colours stay ${before}`);

  // The numbers of a figure travel with the page.
  const links = [...document.querySelectorAll("a[download]")];
  check(links.length === document.querySelectorAll("figure svg").length, `${links.length} downloads`);
  check(links.every((link) => decodeURIComponent(link.href).split("\n").length > 2), "downloads hold lines");

  parent.postMessage(wrong.map((line) => line.replace(/[<>&]/g, "?")).join("\n") || "all is well", "*");
});
