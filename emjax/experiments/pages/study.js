"use strict";
// Sorting and filtering of the table; without this script the page is the same page with a plain table.
(() => {
  const table = document.querySelector("#results table");
  if (!table) return;
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const rows = [...body.rows];
  const said = document.getElementById("shown");
  const value = (row, column) => row.cells[column].dataset.sort ?? row.cells[column].textContent.trim();
  const numeric = column => rows.every(row => value(row, column) === "" || Number.isFinite(Number(value(row, column))));

  const sort = column => {
    const upwards = heads[column].getAttribute("aria-sort") !== "ascending";
    const byNumber = numeric(column);
    const compare = (one, other) => {
      const [a, b] = [value(one, column), value(other, column)];
      if (a === "" || b === "") return (a === "") - (b === "");
      const order = byNumber ? Number(a) - Number(b) : a.localeCompare(b);
      return upwards ? order : -order;
    };
    heads.forEach(head => head.removeAttribute("aria-sort"));
    heads[column].setAttribute("aria-sort", upwards ? "ascending" : "descending");
    body.append(...[...body.rows].sort(compare));
    table.classList.add("sorted");
  };
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sort(column));
  });

  const controls = document.getElementById("controls");
  controls.hidden = false;
  const text = controls.querySelector("input");
  const selects = [...controls.querySelectorAll("select")];
  const filter = () => {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let n = 0;
    for (const row of rows) {
      const content = row.textContent.toLowerCase();
      const kept = words.every(word => content.includes(word)) &&
        selects.every(select => select.value === "" ||
          row.cells[Number(select.dataset.column)].textContent.trim() === select.options[select.selectedIndex].text);
      row.hidden = !kept;
      n += kept;
    }
    said.textContent = `${n} of ${rows.length} rows`;
    document.getElementById("none").hidden = n > 0;
  };
  controls.addEventListener("input", filter);
  controls.addEventListener("reset", () => setTimeout(filter));
  controls.addEventListener("submit", event => event.preventDefault());
  filter();
})();
