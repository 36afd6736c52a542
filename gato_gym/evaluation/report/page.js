// Tables that can be sorted get a button in each head; without scripts they stay as they are.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const numeric = head.classList.contains("n");
      const up = head.getAttribute("aria-sort") === (numeric ? "descending" : null);
      const ascending = numeric ? up : head.getAttribute("aria-sort") !== "ascending";
      const value = (row) => row.cells[column].dataset.v ?? row.cells[column].textContent.trim();
      const order = (one, other) => {
        const [a, b] = [value(one), value(other)];
        // What has no value stays at the end.
        if (a === "" || b === "") return (a === "") - (b === "");
        const sign = numeric ? a - b : a.localeCompare(b, "en", { numeric: true });
        return ascending ? sign : -sign;
      };
      body.append(...[...body.rows].sort(order));
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    });
  });
}
