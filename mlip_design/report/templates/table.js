"use strict";
for (const box of document.querySelectorAll(".table")) {
  const body = box.querySelector("tbody");
  const headings = [...box.querySelectorAll("th")];

  function compare(a, b, column, isNumber, direction) {
    const [left, right] = [a, b].map(row => row.cells[column].dataset.key);
    if (left === "" || right === "") return (left === "") - (right === "");
    const order = isNumber ? left - right : left.localeCompare(right, undefined, { numeric: true });
    return direction * order;
  }

  headings.forEach((heading, column) => heading.querySelector("button").addEventListener("click", () => {
    const direction = heading.ariaSort === "ascending" ? -1 : 1;
    headings.forEach(other => other.removeAttribute("aria-sort"));
    heading.ariaSort = direction === 1 ? "ascending" : "descending";
    const isNumber = heading.classList.contains("number");
    body.append(...[...body.rows].sort((a, b) => compare(a, b, column, isNumber, direction)));
  }));

  const search = box.querySelector("input[type=search]");
  search?.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every(word => text.includes(word));
    }
    const shown = [...body.rows].filter(row => !row.hidden).length;
    box.querySelector("output").textContent = `${shown} of ${body.rows.length}`;
  });
}
