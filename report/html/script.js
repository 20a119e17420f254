"use strict";
(() => {
  const narrow = window.matchMedia("(max-width: 63.99rem)");
  const contents = document.querySelector(".toc details");
  contents.open = !narrow.matches;
  contents.addEventListener("click", (event) => {
    if (narrow.matches && event.target.closest("a")) contents.open = false;
  });

  // Theme: as the system, light or dark. Storage is refused to some files opened from disk.
  const themes = { automatic: "light dark", light: "light", dark: "dark" };
  const button = document.getElementById("theme");
  const remembered = () => { try { return localStorage.getItem("rivalry-theme"); } catch { return null; } };
  const remember = (name) => { try { localStorage.setItem("rivalry-theme", name); } catch { /* not kept */ } };
  const show = (name) => {
    document.documentElement.style.colorScheme = themes[name];
    button.textContent = `Theme: ${name}`;
    button.dataset.theme = name;
  };
  show(themes[remembered()] ? remembered() : "automatic");
  button.hidden = false;
  button.addEventListener("click", () => {
    const names = Object.keys(themes);
    const next = names[(names.indexOf(button.dataset.theme) + 1) % names.length];
    show(next);
    remember(next);
  });

  // Sorting: missing values stay last, equal ones keep their order.
  const sort = (table, place, ascending) => {
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [row.cells[place].dataset.sort, row]);
    const numeric = rows.every(([value]) => value === "" || !Number.isNaN(Number(value)));
    rows.sort(([a], [b]) => {
      if (a === "" || b === "") return (a === "") - (b === "");
      const order = numeric ? Number(a) - Number(b) : a.localeCompare(b, undefined, { numeric: true });
      return ascending ? order : -order;
    });
    body.append(...rows.map(([, row]) => row));
  };
  const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const csv = (table) => {
    const lines = [[...table.tHead.rows[0].cells].map((cell) => cell.dataset.key)];
    for (const row of table.tBodies[0].rows) lines.push([...row.cells].map((cell) => cell.dataset.sort));
    return lines.map((line) => line.map(quoted).join(",")).join("\r\n") + "\r\n";
  };

  for (const table of document.querySelectorAll("table[data-name]")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, place) => {
      const title = document.createElement("button");
      title.type = "button";
      title.textContent = head.textContent;
      head.replaceChildren(title);
      head.setAttribute("aria-sort", "none");
      title.addEventListener("click", () => {
        // Numbers are most telling from the top.
        const first = head.classList.contains("num") ? "descending" : "ascending";
        const other = first === "ascending" ? "descending" : "ascending";
        const order = head.getAttribute("aria-sort") === first ? other : first;
        heads.forEach((each) => each.setAttribute("aria-sort", "none"));
        head.setAttribute("aria-sort", order);
        sort(table, place, order === "ascending");
      });
    });
    const save = document.createElement("button");
    save.type = "button";
    save.className = "save";
    save.textContent = "Save as CSV";
    save.addEventListener("click", () => {
      const link = document.createElement("a");
      link.href = `data:text/csv;charset=utf-8,${encodeURIComponent(csv(table))}`;
      link.download = `${table.dataset.name}.csv`;
      link.click();
    });
    table.closest("details").querySelector(".note").prepend(save);
  }

  // A link into a folded part unfolds it.
  const unfold = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
  };
  window.addEventListener("hashchange", unfold);
  unfold();
  window.addEventListener("beforeprint", () => {
    for (const part of document.querySelectorAll("main details")) part.open = true;
  });

  // Mark in the contents where the reader is.
  const links = new Map([...document.querySelectorAll(".toc a")].map((link) => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) links.get(entry.target.id).classList.toggle("here", entry.isIntersecting);
  }, { rootMargin: "-20% 0px -75% 0px" });
  for (const id of links.keys()) {
    const part = document.getElementById(id);
    if (part) seen.observe(part);
  }
})();
