"use strict";
// The schedule viewer: units (rows) by cycles. The data are described in data.rs. A block's issues are unrolled when it is
// shown; an issue is then a number, and `run`, `nth`, `cycle` say what it is.
(() => {
  const $ = (id) => document.getElementById(id);
  const canvas = $("canvas"), pen = canvas.getContext("2d");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const LIGHT = ["#4c86c6", "#1f4e8c", "#2a9d8f", "#e08e1b", "#c8442b", "#8fae3c", "#5b7a14", "#8a5fbf", "#b07fd6", "#c75b9b", "#7a6a58", "#9a9a94"];
  const DARK = ["#6ea5e0", "#3d74bd", "#45c2b2", "#f0a83f", "#ef6a50", "#abcb58", "#7fa32c", "#a985dc", "#cba6ec", "#e37fb9", "#a8967f", "#8b8b86"];
  const LABEL = 84, AXIS = 20, GAP = 7, DIRECTIONS = ["w", "e"];
  let data, block, at = 0, selected = -1, hovered = -1;
  let x0 = 0, scale = 1, y0 = 0, rowHeight = 12, rows = [], height = 0, drawn = 0;

  const colours = () => (dark.matches ? DARK : LIGHT);
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const number = (n) => n.toLocaleString("en-US");
  const element = (tag, text, parent) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (parent) parent.append(made);
    return made;
  };

  async function read() {
    const text = $("data").textContent.trim();
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  }

  // Rows: a group of units after the other, each with its queues that any block uses.
  function layRows() {
    const rank = { mem: 0, alu: 2, reduce: 3, load: 4, activate: 4, drain: 4, sxm: 5, send: 7, receive: 8 };
    const of = (name) => {
      const [unit, rest] = name.split(".");
      const east = rest[0] === "e";
      return { unit, group: rank[unit] + (unit === "mem" || unit === "sxm" ? (east ? 1 : 0) : 0) };
    };
    const list = data.queues.map((name, queue) => ({ name, queue, ...of(name) }));
    // Planes side by side: load, activate and drain of one are neighbours, as the machine lists them.
    list.sort((a, b) => a.group - b.group || a.queue - b.queue);
    let y = 0, group = -1;
    rows = [];
    for (const row of list) {
      if (group !== row.group && group >= 0) y += GAP / rowHeight;
      group = row.group;
      rows.push({ ...row, y });
      y += 1;
    }
    height = y;
  }

  // Unrolls a block: issues sorted by row, then cycle; edges by reader and by producer.
  function open(index) {
    const source = data.blocks[index];
    if (!source.made) {
      const firsts = [];
      let count = 0;
      for (const run of source.runs) {
        firsts.push(count);
        count += 1 + run[4];
      }
      const cycle = new Float64Array(count), run = new Uint32Array(count), nth = new Uint32Array(count);
      source.runs.forEach((r, i) => {
        for (let n = 0; n <= r[4]; n++) {
          const issue = firsts[i] + n;
          cycle[issue] = r[1] + n * r[5];
          run[issue] = i;
          nth[issue] = n;
        }
      });
      const byQueue = data.queues.map(() => []);
      source.runs.forEach((r, i) => {
        for (let n = 0; n <= r[4]; n++) byQueue[r[0]].push(firsts[i] + n);
      });
      byQueue.forEach((list) => list.sort((a, b) => cycle[a] - cycle[b]));
      const readers = new Map(), producers = new Map();
      const push = (map, key, value) => (map.has(key) ? map.get(key).push(value) : map.set(key, [value]));
      source.edges.forEach((edge) => {
        push(readers, edge[0], edge);
        if (edge[5] === 1 && edge[6] === index) push(producers, edge[7], edge);
      });
      const chain = source.chain.map(([r, n]) => firsts[r] + n);
      source.made = { index, firsts, cycle, run, nth, byQueue, readers, producers, chain };
    }
    return source.made;
  }

  const queueOf = (issue) => data.blocks[at].runs[block.run[issue]][0];
  const rowOf = (queue) => rows.find((row) => row.queue === queue);
  const left = (cycle) => LABEL + (cycle - x0) * scale;
  const top = (row) => AXIS + row.y * rowHeight - y0;

  // The text of an issue: addresses and rows moved on by its repetition.
  function text(index, run, nth) {
    const r = data.blocks[index].runs[run];
    const words = nth * r[6], moved = nth * r[7];
    return data.texts[r[2]]
      .replace(/(\d+)\+b/g, (_, word) => `${+word + words}+b`)
      .replace(/ (row|first)=(\d+)/g, (_, name, row) => ` ${name}=${+row + moved}`);
  }

  // Names of what lies at the addresses of an issue, in the block's first instance.
  function places(issue) {
    const queue = /^mem\.([we])(\d+)$/.exec(data.queues[queueOf(issue)]);
    if (!queue) return [];
    const source = data.blocks[at], words = [], said = text(at, block.run[issue], block.nth[issue]);
    for (const [, bank, verb, word, base] of said.matchAll(/bank([01])=(read|write):(-?\d+)\+b(\d+)/g)) {
      words.push([+bank, +word + (source.offsets[+base] || 0), verb]);
    }
    const table = / address=(-?\d+)\+b(\d+)/.exec(said);
    if (table) {
      const bank = / bank=(\d+)/.exec(said);
      words.push([bank ? +bank[1] : 0, +table[1] + (source.offsets[+table[2]] || 0), "table"]);
    }
    const side = DIRECTIONS.indexOf(queue[1]), slice = +queue[2], found = [];
    for (const [bank, word, verb] of words) {
      const inside = (p) => p[1] === source.chip && p[2] === side && p[3] === slice && p[4] === bank && word >= p[5] && word < p[5] + p[6];
      const names = data.places.filter(inside).map((p) => (p[6] > 1 ? `${p[0]}, vector ${word - p[5]} of ${p[6]}` : p[0]));
      found.push(`${verb} ${names.length ? names.join("; ") : "scratch"} (bank ${bank}, word ${word})`);
    }
    return found;
  }

  // What an issue reads: {issue}, or {text} for what is older than the block.
  function producersOf(issue) {
    const found = new Map();
    for (const e of block.readers.get(block.run[issue]) || []) {
      const past = block.nth[issue] - e[1];
      if (past < 0 || past >= e[2]) continue;
      const moved = past * e[4];
      let made;
      if (e[5] === 1 && e[6] === at) made = { issue: block.firsts[e[7]] + e[8] + moved };
      else if (e[5] === 1) made = { block: e[6], run: e[7], nth: e[8] + moved };
      else if (e[5] === 2) made = { text: `image ${data.images[e[6]]}, vector ${e[7] + moved}` };
      else if (e[5] === 3) made = { text: `input ${data.bindings[e[6]]}, word ${e[7] + moved}` };
      else if (e[5] === 4) made = { text: `link ${e[6]}, vector ${e[7] + moved}` };
      else made = { text: e[5] === 5 ? "many words or loads" : "nothing" };
      found.set(JSON.stringify(made), made);
    }
    return [...found.values()];
  }

  // An install reads what was loaded into its plane since the last install: the edge says `many`.
  function loadsOf(issue) {
    if (!data.texts[data.blocks[at].runs[block.run[issue]][2]].startsWith("install")) return [];
    const list = block.byQueue[queueOf(issue)], made = [];
    for (let i = list.indexOf(issue) - 1; i >= 0; i--) {
      const said = data.texts[data.blocks[at].runs[block.run[list[i]]][2]];
      if (said.startsWith("install")) break;
      if (!said.startsWith("codebook")) made.push({ issue: list[i] });
    }
    return made.reverse();
  }

  function consumersOf(issue) {
    const found = new Set();
    for (const e of block.producers.get(block.run[issue]) || []) {
      const away = block.nth[issue] - e[8];
      if (e[4] === 0) {
        if (away === 0) for (let n = 0; n < e[2]; n++) found.add(block.firsts[e[0]] + e[1] + n);
      } else if (away % e[4] === 0 && away / e[4] >= 0 && away / e[4] < e[2]) {
        found.add(block.firsts[e[0]] + e[1] + away / e[4]);
      }
    }
    const list = block.byQueue[queueOf(issue)];
    const said = (i) => data.texts[data.blocks[at].runs[block.run[i]][2]];
    if (/^(load|scale)\b/.test(said(issue))) {
      const install = list.slice(list.indexOf(issue)).find((i) => said(i).startsWith("install"));
      if (install !== undefined) found.add(install);
    }
    return [...found].sort((a, b) => block.cycle[a] - block.cycle[b]);
  }

  function resize() {
    const ratio = devicePixelRatio || 1, box = canvas.getBoundingClientRect();
    canvas.width = Math.max(1, Math.round(box.width * ratio));
    canvas.height = Math.max(1, Math.round(box.height * ratio));
    draw();
  }

  const size = () => ({ width: canvas.clientWidth, height: canvas.clientHeight });

  function clamp() {
    const { width, height: tall } = size(), cycles = data.blocks[at].cycles;
    scale = Math.min(400, Math.max(scale, 0.5 * (width - LABEL) / Math.max(1, cycles)));
    const seen = (width - LABEL) / scale;
    x0 = Math.max(-0.2 * seen, Math.min(x0, cycles - 0.8 * seen > 0 ? cycles - 0.8 * seen : 0));
    y0 = Math.max(0, Math.min(y0, height * rowHeight - tall + AXIS + 10));
  }

  function fit() {
    const { width, height: tall } = size();
    rowHeight = Math.max(5, Math.min(16, (tall - AXIS - 60) / Math.max(1, rows.length)));
    layRows();
    scale = (width - LABEL - 10) / Math.max(1, data.blocks[at].cycles);
    x0 = 0;
    y0 = 0;
    draw();
  }

  function zoom(factor, x) {
    const before = x0 + (x - LABEL) / scale;
    scale *= factor;
    clamp();
    x0 = before - (x - LABEL) / scale;
    draw();
  }

  let asked = false;
  function draw() {
    if (asked || !data) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      paint();
    });
  }

  // The first place in a row's list whose cycle is not before `cycle`.
  function lower(list, cycle) {
    let low = 0, high = list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (block.cycle[list[middle]] < cycle) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  function paint() {
    clamp();
    const ratio = devicePixelRatio || 1, { width, height: tall } = size();
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, tall);
    const shade = colours(), ink = css("--ink"), soft = css("--soft"), line = css("--line");
    const last = x0 + (width - LABEL) / scale, cycles = data.blocks[at].cycles;
    axis(width, tall, last, soft, line);
    pen.save();
    pen.beginPath();
    pen.rect(LABEL, AXIS, width - LABEL, tall - AXIS);
    pen.clip();
    pen.fillStyle = line;
    pen.fillRect(left(cycles), AXIS, 1, tall);
    drawn = 0;
    const thick = Math.max(1, rowHeight - 2), wide = Math.max(1, scale - (scale > 4 ? 1 : 0));
    for (const row of rows) {
      const y = top(row);
      if (y + rowHeight < AXIS || y > tall) continue;
      const list = block.byQueue[row.queue];
      let done = -1;
      for (let i = lower(list, x0 - 1); i < list.length && block.cycle[list[i]] <= last; i++) {
        const x = left(block.cycle[list[i]]);
        // At most one mark a pixel.
        if (x < done) continue;
        done = x + 0.7;
        pen.fillStyle = shade[data.blocks[at].runs[block.run[list[i]]][3]];
        pen.fillRect(x, y + 1, wide, thick);
        drawn++;
      }
    }
    if ($("critical").checked) trail(block.chain, css("--mark"));
    if (selected >= 0) selection(css("--mark"), ink);
    if (hovered >= 0) outline(hovered, ink);
    pen.restore();
    labels(tall, ink, soft);
  }

  function axis(width, tall, last, soft, line) {
    const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 1e6, 1e7, 1e8];
    const step = steps.find((s) => s * scale >= 60) || 1e9;
    pen.font = "11px system-ui, sans-serif";
    pen.textBaseline = "middle";
    pen.textAlign = "left";
    for (let cycle = Math.max(0, Math.ceil(x0 / step) * step); cycle <= last; cycle += step) {
      const x = left(cycle);
      pen.fillStyle = line;
      pen.fillRect(x, AXIS, 1, tall);
      pen.fillStyle = soft;
      pen.fillText(number(cycle), x + 2, AXIS / 2);
    }
  }

  function labels(tall, ink, soft) {
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    pen.font = `${Math.max(7, Math.min(11, rowHeight))}px ui-monospace, monospace`;
    // Where rows are thinner than letters, only some are named.
    const each = Math.max(1, Math.ceil(8 / rowHeight));
    const chosen = selected >= 0 ? queueOf(selected) : -1;
    rows.forEach((row, i) => {
      const y = top(row) + rowHeight / 2;
      const first = i === 0 || rows[i - 1].group !== row.group;
      const named = first || (i - rows.findIndex((r) => r.group === row.group)) % each === 0 || row.queue === chosen;
      if (y < AXIS + 3 || y > tall || !named) return;
      pen.fillStyle = row.queue === chosen ? ink : soft;
      pen.fillText(row.name, LABEL - 6, y);
    });
  }

  const middle = (issue) => {
    const row = rowOf(queueOf(issue));
    return [left(block.cycle[issue]) + Math.max(1, scale) / 2, top(row) + rowHeight / 2];
  };

  function outline(issue, colour) {
    const row = rowOf(queueOf(issue));
    pen.strokeStyle = colour;
    pen.lineWidth = 1.5;
    pen.strokeRect(left(block.cycle[issue]) - 1, top(row), Math.max(3, scale + 1), rowHeight);
  }

  function trail(issues, colour) {
    pen.strokeStyle = colour;
    pen.lineWidth = 1.5;
    pen.beginPath();
    issues.forEach((issue, i) => pen[i ? "lineTo" : "moveTo"](...middle(issue)));
    pen.stroke();
  }

  function selection(mark, ink) {
    const draws = (others, dash) => {
      pen.setLineDash(dash);
      pen.strokeStyle = ink;
      pen.lineWidth = 1;
      for (const other of others.slice(0, 200)) {
        pen.beginPath();
        pen.moveTo(...middle(selected));
        pen.lineTo(...middle(other));
        pen.stroke();
      }
      pen.setLineDash([]);
      others.slice(0, 200).forEach((other) => outline(other, ink));
    };
    draws(producersOf(selected).concat(loadsOf(selected)).filter((p) => p.issue !== undefined).map((p) => p.issue), []);
    draws(consumersOf(selected), [4, 3]);
    outline(selected, mark);
  }

  // The issue under a point, or the nearest within three pixels.
  function under(x, y) {
    if (x < LABEL || y < AXIS) return -1;
    const row = rows.find((r) => y >= top(r) && y < top(r) + rowHeight);
    if (!row) return -1;
    const list = block.byQueue[row.queue], cycle = x0 + (x - LABEL) / scale;
    const inside = lower(list, Math.floor(cycle));
    if (inside < list.length && block.cycle[list[inside]] === Math.floor(cycle)) return list[inside];
    let best = -1, near = 3;
    for (const i of [inside - 1, inside]) {
      if (i < 0 || i >= list.length) continue;
      const away = Math.abs(left(block.cycle[list[i]]) + scale / 2 - x) - scale / 2;
      if (away <= near) [best, near] = [list[i], away];
    }
    return best;
  }

  const label = (index, run, nth) => {
    const r = data.blocks[index].runs[run];
    return `${data.queues[r[0]]} at ${number(r[1] + nth * r[5])}`;
  };

  function link(list, head, body, act) {
    const item = element("li", undefined, list), button = element("button", undefined, item);
    element("strong", head + " ", button);
    element("code", body, button);
    button.addEventListener("click", act);
  }

  function details() {
    const panel = $("details");
    panel.replaceChildren();
    element("h2", "instruction", panel);
    if (selected < 0) {
      element("p", "Click an instruction: its text, what it reads and who reads it.", panel);
      return;
    }
    const run = block.run[selected], nth = block.nth[selected], source = data.blocks[at], r = source.runs[run];
    const list = element("dl", undefined, panel);
    const say = (name, value, tag) => {
      element("dt", name, list);
      element(tag || "span", value, element("dd", undefined, list));
    };
    say("unit", data.queues[r[0]]);
    say("cycle", `${number(block.cycle[selected])} of ${number(source.cycles)}`);
    const first = entry().instances.find((i) => i[0] === at);
    if (first) say("in the entry", number(first[2] + block.cycle[selected]) + " (first run of the block)");
    say("text", text(at, run, nth), "code");
    if (r[4]) say("repetition", `${nth} of ${r[4]}, each ${r[5]} cycles`);
    for (const name of places(selected)) say("place", name);
    if (block.chain.includes(selected)) say("chain", "on the critical chain");
    const producers = producersOf(selected), loads = loadsOf(selected), consumers = consumersOf(selected);
    const all = loads.length ? producers.filter((p) => p.text !== "many words or loads").concat(loads) : producers;
    element("h2", `producers: ${all.length}`, panel);
    const from = element("ul", undefined, panel);
    from.className = "links";
    from.id = "producers";
    for (const p of all.slice(0, 400)) {
      if (p.text) element("li", p.text, from).className = "plain";
      else if (p.block !== undefined) {
        const head = `${data.blocks[p.block].name}: ${label(p.block, p.run, p.nth)}`;
        link(from, head, text(p.block, p.run, p.nth), () => {
          show(p.block);
          select(block.firsts[p.run] + p.nth, true);
        });
      } else {
        link(from, label(at, block.run[p.issue], block.nth[p.issue]), text(at, block.run[p.issue], block.nth[p.issue]), () => select(p.issue, true));
      }
    }
    element("h2", `consumers: ${consumers.length}`, panel);
    const to = element("ul", undefined, panel);
    to.className = "links";
    to.id = "consumers";
    for (const c of consumers.slice(0, 400)) link(to, label(at, block.run[c], block.nth[c]), text(at, block.run[c], block.nth[c]), () => select(c, true));
  }

  function select(issue, move) {
    selected = issue;
    if (issue >= 0) {
      const id = [at, block.run[issue], block.nth[issue]].join("/");
      history.replaceState(null, "", "#" + id);
      if (move) reveal(issue);
    } else {
      history.replaceState(null, "", "#" + at);
    }
    details();
    draw();
  }

  // Moves the view so that an issue is in it.
  function reveal(issue) {
    const { width, height: tall } = size(), [x, y] = middle(issue);
    if (x < LABEL + 20 || x > width - 20) x0 = block.cycle[issue] - (width - LABEL) / scale / 2;
    if (y < AXIS + 10 || y > tall - 10) y0 = rowOf(queueOf(issue)).y * rowHeight - tall / 2;
  }

  const entry = () => data.entries[+$("entry").value] || { name: "", phases: [], instances: [], cycles: 0 };

  function show(index) {
    at = index;
    block = open(index);
    selected = hovered = -1;
    $("block").value = index;
    $("status").textContent = `${number(block.cycle.length)} issues in ${number(data.blocks[at].cycles)} cycles`;
    figures();
    select(-1);
    fit();
  }

  function table(id, list, cells) {
    const body = $(id);
    body.replaceChildren();
    for (const item of list) {
      const row = element("tr", undefined, body);
      cells(item, row).forEach((cell) => element("td", cell, row));
    }
    return body;
  }

  const percent = (part) => (100 * part).toFixed(1) + "%";

  function figures() {
    const source = data.blocks[at], now = source.figures;
    const some = (all) => Object.entries(all).filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]);
    const share = ([name, n]) => [name, number(n), percent(n / Math.max(1, now.cycles))];
    table("chain", some(now.chain), share);
    table("bounds", some(now.bounds), share);
    table("use", some(now.utilisation), ([name, part]) => [name, number(now.issues[name]), percent(part)]);
    const whole = entry();
    const body = table("phases", whole.phases, (phase, row) => {
      const inside = whole.instances.find((i) => i[2] >= phase.start && i[2] < phase.start + Math.max(1, phase.cycles));
      if (inside) {
        row.dataset.block = inside[0];
        const among = whole.instances.some((i) => i[0] === at && i[2] >= phase.start && i[2] < phase.start + phase.cycles);
        row.className = among ? "now" : "";
        row.addEventListener("click", () => show(inside[0]));
      }
      return [phase.name, number(phase.instances), number(phase.cycles), percent(phase.share), phase.bound, number(phase.bound_cycles)];
    });
    const head = element("tr");
    ["phase", "runs", "cycles", "share", "bound", "cycles"].forEach((name) => element("th", name, head));
    body.prepend(head);
  }

  function pick(x, y) {
    const box = canvas.getBoundingClientRect();
    return under(x - box.left, y - box.top);
  }

  function hover(event) {
    const issue = pick(event.clientX, event.clientY), tip = $("tip");
    if (issue !== hovered) {
      hovered = issue;
      draw();
    }
    tip.hidden = issue < 0;
    if (issue < 0) return;
    tip.replaceChildren();
    element("strong", label(at, block.run[issue], block.nth[issue]) + " ", tip);
    element("code", text(at, block.run[issue], block.nth[issue]), tip);
    const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    tip.style.left = Math.max(0, Math.min(x + 14, box.width - tip.offsetWidth - 4)) + "px";
    tip.style.top = Math.max(0, Math.min(y + 16, box.height - tip.offsetHeight - 4)) + "px";
  }

  function listen() {
    let drag = null;
    canvas.addEventListener("pointerdown", (event) => {
      drag = { x: event.clientX, y: event.clientY, x0, y0, moved: false };
      // A pointer that a script made up cannot be captured.
      try { canvas.setPointerCapture(event.pointerId); } catch { /* it drags all the same */ }
      canvas.focus();
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!drag) return hover(event);
      const dx = event.clientX - drag.x, dy = event.clientY - drag.y;
      drag.moved ||= Math.hypot(dx, dy) > 3;
      if (drag.moved) {
        [x0, y0] = [drag.x0 - dx / scale, drag.y0 - dy];
        draw();
      }
    });
    canvas.addEventListener("pointerup", (event) => {
      if (drag && !drag.moved) select(pick(event.clientX, event.clientY));
      drag = null;
    });
    canvas.addEventListener("pointercancel", () => (drag = null));
    canvas.addEventListener("pointerleave", () => {
      hovered = -1;
      $("tip").hidden = true;
      draw();
    });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (event.shiftKey) {
        y0 += event.deltaY || event.deltaX;
        draw();
      } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
        x0 += event.deltaX / scale;
        draw();
      } else {
        zoom(Math.exp(-event.deltaY / 300), event.clientX - canvas.getBoundingClientRect().left);
      }
    }, { passive: false });
    canvas.addEventListener("keydown", key);
    $("in").addEventListener("click", () => zoom(1.5, size().width / 2));
    $("out").addEventListener("click", () => zoom(1 / 1.5, size().width / 2));
    $("fit").addEventListener("click", fit);
    $("critical").addEventListener("change", draw);
    $("block").addEventListener("change", () => show(+$("block").value));
    $("entry").addEventListener("change", () => {
      const first = entry().instances[0];
      first ? show(first[0]) : figures();
    });
    dark.addEventListener("change", () => {
      legend();
      draw();
    });
    new ResizeObserver(resize).observe(canvas);
  }

  function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { width, height: tall } = size(), seen = (width - LABEL) / scale;
    const step = (by) => {
      if (selected < 0) return;
      const list = block.byQueue[queueOf(selected)], next = list[list.indexOf(selected) + by];
      if (next !== undefined) select(next, true);
    };
    const keys = {
      ArrowLeft: () => (x0 -= seen / 8), ArrowRight: () => (x0 += seen / 8), ArrowUp: () => (y0 -= tall / 8), ArrowDown: () => (y0 += tall / 8),
      "+": () => zoom(1.5, width / 2), "=": () => zoom(1.5, width / 2), "-": () => zoom(1 / 1.5, width / 2), 0: fit,
      n: () => step(1), p: () => step(-1), Escape: () => select(-1),
      c: () => ($("critical").checked = !$("critical").checked),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
    draw();
  }

  function legend() {
    $("legend").replaceChildren();
    data.kinds.forEach((name, kind) => {
      const item = element("span", undefined, $("legend"));
      element("i", undefined, item).style.background = colours()[kind];
      item.append(name);
    });
  }

  async function start() {
    data = await read();
    $("title").textContent = `${data.program} for ${data.machine}`;
    data.entries.forEach((e, i) => element("option", `${e.name}: ${number(e.cycles)} cycles`, $("entry")).setAttribute("value", i));
    data.blocks.forEach((b, i) => element("option", `${i} ${b.name}: ${number(b.cycles)} cycles`, $("block")).setAttribute("value", i));
    layRows();
    legend();
    listen();
    const [index, run, nth] = location.hash.slice(1).split("/").map(Number);
    if (!data.blocks.length) {
      $("status").textContent = "the program has no blocks";
      return;
    }
    const wanted = data.blocks[index] ? index : (entry().instances[0] || [0])[0];
    resize();
    show(wanted);
    if (data.blocks[index]?.runs[run] && nth <= data.blocks[index].runs[run][4]) select(block.firsts[run] + nth, true);
    document.documentElement.dataset.ready = "yes";
  }

  // For tests: where an issue is on the page, and what is selected.
  window.viewer = {
    issue: (unit, cycle) => block.byQueue[data.queues.indexOf(unit)].find((i) => block.cycle[i] === cycle) ?? -1,
    point: (issue) => {
      const box = canvas.getBoundingClientRect(), [x, y] = middle(issue);
      return { x: box.left + x, y: box.top + y };
    },
    state: () => ({ block: at, selected, hovered, x0, y0, scale, drawn, chain: block.chain.length }),
    paint,
  };
  start().catch((error) => ($("status").textContent = "error: " + error.message));
})();
