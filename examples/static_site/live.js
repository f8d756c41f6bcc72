// Shows the index as it is: counts of every cell from /api/connections, totals from /api/stats.
"use strict";

const cells = document.getElementById("cells");
const requests = document.getElementById("requests");
const notice = document.getElementById("notice");

async function read(path) {
  const answer = await fetch(path, { cache: "no-store" });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${answer.statusText}`);
  return answer.json();
}

function cell(tag, text, parent) {
  const made = document.createElement(tag);
  made.textContent = text;
  parent.append(made);
  return made;
}

function drawPools(pools) {
  const layers = Object.keys(pools[0].layers);
  const head = cells.tHead.rows[0];
  while (head.cells.length > 1) head.lastChild.remove();
  for (const layer of layers) cell("th", layer, head).scope = "col";
  cells.tBodies[0].replaceChildren();
  for (const pool of pools) {
    const row = cells.tBodies[0].insertRow();
    cell("th", `${pool.spiral} ${pool.name}`, row).scope = "row";
    for (const layer of layers) {
      const count = pool.layers[layer];
      cell("td", count, row).className = count ? "alive" : "";
    }
  }
}

function drawRequests(totals) {
  requests.replaceChildren();
  for (const [name, value] of Object.entries(totals)) {
    if (typeof value === "object") continue;
    cell("dt", name.replaceAll("_", " "), requests);
    cell("dd", typeof value === "number" && !Number.isInteger(value) ? value.toFixed(3) : value, requests);
  }
}

async function refresh() {
  try {
    const [connections, stats] = await Promise.all([read("/api/connections"), read("/api/stats")]);
    drawPools(connections.pools);
    drawRequests(stats.requests);
    notice.textContent = "";
  } catch (error) {
    notice.textContent = `No live state: ${error.message}`;
  }
  setTimeout(refresh, 1000);
}

refresh();
