"use strict";

// Tables: a click on a head sorts the rows of each group by it, another click the other way round.
// Each head holds the place of every row, empty for rows without a value, which stay last.
for (const table of document.querySelectorAll(".scroll table")) {
  const rows = [...table.querySelectorAll("tbody tr:not(.group)")];
  const heads = [...table.tHead.rows[0].cells];
  for (const head of heads) {
    // Made here, so that there is none where no script can answer it.
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const places = head.dataset.places.split(",").map(place => place === "" ? null : Number(place));
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      const before = (a, b) => {
        const [first, second] = [places[a], places[b]];
        if (first === null || second === null) return (first === null) - (second === null);
        return sign * (first - second);
      };
      for (const body of table.tBodies) {
        const own = [...body.rows].filter(row => !row.classList.contains("group"));
        own.sort((a, b) => before(rows.indexOf(a), rows.indexOf(b)));
        body.append(...own);
      }
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
    });
  }
}
