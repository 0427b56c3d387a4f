"use strict";
(() => {
  const section = document.getElementById("samples");
  const form = section.querySelector("form");
  const view = section.querySelector(".samples-view");
  const article = section.querySelector("article");
  const picker = section.querySelector("[data-problem]");
  const count = section.querySelector(".samples-count");
  const FIELDS = ["suite", "arm", "seed", "point", "status", "text"];
  const POINTS = ["base", "entry", "end"];
  const VERDICTS = {
    right: ["✓", "good"], wrong: ["✗", "bad"], "no answer": ["∅", "open"], "timed out": ["⧖", "open"],
  };
  const FULL = 200; // hundredths of a nat from which a token has the deepest shade
  const chunks = new Map();
  let index, left = [], current = null;

  // Everything that is shown is text: answers are written by models, ids and questions by whoever made the data.
  const make = (tag, name, ...inside) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    element.append(...inside.filter((one) => one !== null && one !== undefined && one !== ""));
    return element;
  };
  const shade = (element, entropy) => {
    element.style.setProperty("--heat", `${Math.round(60 * Math.min(entropy, FULL) / FULL)}%`);
    return element;
  };
  const nats = (entropy) => `${(entropy / 100).toFixed(2)} nats`;

  const load = (file, failed) => {
    const script = document.createElement("script");
    script.src = `${section.dataset.folder}/${file}`;
    script.addEventListener("error", failed);
    document.head.append(script);
  };
  const chunk = (number) => {
    if (!chunks.has(number)) {
      const waiting = {};
      waiting.done = new Promise((resolve, reject) => Object.assign(waiting, { resolve, reject }));
      chunks.set(number, waiting);
      load(`chunk-${String(number).padStart(3, "0")}.js`, () => { chunks.delete(number); waiting.reject(); });
    }
    return chunks.get(number).done;
  };

  // Which problems
  const column = (arm, seed, point) =>
    point === "base" ? 0 : index.columns.findIndex((one) => one[0] === arm && one[1] === seed && one[2] === point);
  const counts = (problem, arm, seed, point) => problem.counts[column(arm, seed, point)] ?? null;
  const solved = (found) => found !== null && found[3] === 1;
  const failed = (found) => found !== null && found[3] === 0;

  const holds = (problem, wanted, arm, seed) => {
    const at = (point) => counts(problem, arm, seed, point);
    const [kind, from] = wanted.status.split("-");
    if (kind === "lost") return solved(at(from)) && failed(at("end"));
    if (kind === "gained") return failed(at(from)) && solved(at("end"));
    const found = at(wanted.point || "end");
    if (kind === "solved") return solved(found);
    if (kind === "unsolved") return failed(found);
    if (kind === "truncated") return found !== null && found[2] > 0;
    return true;
  };
  const arms = (wanted) => index.arms.filter((arm) => !wanted.arm || arm === wanted.arm);
  const seeds = (wanted) => index.seeds.filter((seed) => !wanted.seed || String(seed) === wanted.seed);
  const matches = (problem, wanted) =>
    (!wanted.suite || problem.suite === wanted.suite) &&
    (!wanted.text || `${problem.id}\n${problem.opening}`.toLowerCase().includes(wanted.text.toLowerCase())) &&
    arms(wanted).some((arm) => seeds(wanted).some((seed) => holds(problem, wanted, arm, seed)));

  const chosen = () => Object.fromEntries(FIELDS.map((name) => [name, form.elements[name].value.trim()]));
  const named = (problem) => `${problem.suite}/${problem.id}`;

  const filter = (keep) => {
    const wanted = chosen();
    left = index.problems.filter((problem) => matches(problem, wanted));
    count.textContent = `${left.length} of ${index.problems.length} problems` +
      (left.length || !index.problems.length ? "" : ": no run chosen has one of that status; loosen a filter");
    picker.replaceChildren(...left.map((problem, place) => {
      const option = make("option", "", `${place + 1} of ${left.length}: ${problem.id} ${problem.opening}`);
      option.value = String(place);
      return option;
    }));
    view.hidden = left.length === 0;
    const place = left.findIndex((problem) => named(problem) === keep);
    show(Math.max(place, 0));
  };

  const linked = () => location.hash.startsWith("#samples?");
  const remember = () => {
    const wanted = new URLSearchParams(Object.entries(chosen()).filter(([, value]) => value));
    if (current) wanted.set("problem", named(current));
    history.replaceState(null, "", `#samples?${wanted}`);
  };
  const recall = () => {
    const wanted = new URLSearchParams(linked() ? location.hash.slice(9) : "");
    for (const name of FIELDS) {
      const field = form.elements[name], value = wanted.get(name) ?? "";
      field.value = value;
      if (field.value !== value) field.value = ""; // no such arm, no such seed
    }
    return wanted.get("problem");
  };

  // One problem
  const show = (place) => {
    current = left[place] ?? null;
    if (!current) { article.replaceChildren(); return; }
    picker.value = String(place);
    section.querySelector("[data-step='-1']").disabled = place === 0;
    section.querySelector("[data-step='1']").disabled = place === left.length - 1;
    const problem = current, wanted = chosen();
    article.setAttribute("aria-label", `Problem ${place + 1} of ${left.length}, ${problem.id}`);
    article.setAttribute("aria-busy", "true");
    chunk(problem.chunk).then((found) => {
      if (current !== problem) return;
      article.replaceChildren(...drawn(problem, found, wanted));
      article.dataset.problem = named(problem);
      article.setAttribute("aria-busy", "false");
    }, () => article.replaceChildren(make("p", "", lost(`chunk ${problem.chunk}`))));
  };
  const lost = (what) => `The samples' data (${what}) is not beside this page: it is in the folder ` +
    `“${section.dataset.folder}” that the report was written with. Copy it along, or write the report again.`;

  const drawn = (problem, found, wanted) => {
    const whole = found.problems[problem.place];
    const all = make("div", "samples-arms");
    all.tabIndex = 0;
    all.setAttribute("role", "region");
    all.setAttribute("aria-label", "Answers of each arm");
    if (!wanted.point || wanted.point === "base") all.append(policy(problem, whole, "Base", [["base", 0]], null));
    if (wanted.point !== "base") all.append(...arms(wanted).map((arm) => ofArm(problem, whole, wanted, arm)));
    all.style.setProperty("--columns", all.children.length);
    return [question(problem, whole, found.images), all];
  };

  const question = (problem, whole, images) => {
    const pictures = make("div", "samples-images"), words = make("div", "");
    words.append(make("p", "quiet", `${problem.suite} · ${problem.id}${problem.kind ? ` · ${problem.kind}` : ""}`));
    for (const [role, parts] of whole.prompt) {
      if (whole.prompt.length > 1) words.append(make("p", "quiet", role));
      for (const part of parts) {
        if (typeof part === "string") { words.append(make("p", "samples-text", part)); continue; }
        const figure = make("figure", "", `[image ${pictures.children.length + 1}: not there]`);
        if (images[part]?.startsWith("data:image/")) {
          const image = make("img", "");
          image.src = images[part];
          image.alt = `Image ${pictures.children.length + 1} of the problem`;
          figure.replaceChildren(image);
        }
        pictures.append(figure);
      }
    }
    if (whole.prompt.length === 0) words.append(make("p", "", "The problem's data was not there when this was written."));
    words.append(make("p", "", "Right answer: ", make("b", "", whole.gold ?? "not known")));
    const line = make("div", "samples-question", words);
    if (pictures.children.length) line.prepend(pictures); else line.classList.add("plain");
    return line;
  };

  const ofArm = (problem, whole, wanted, arm) => {
    const own = seeds(wanted);
    const seed = own.find((one) => holds(problem, wanted, arm, one)) ?? own[0];
    const points = ["entry", "end"].filter((point) => !wanted.point || point === wanted.point);
    const parts = points.map((point) => [point, column(arm, seed, point)]);
    return policy(problem, whole, `${arm}, seed ${seed}`, parts, runs(problem, arm, seed));
  };

  const tally = (found) => found === null || found === undefined ? "–"
    : `${found[3] ? "✓" : "✗"}${found[1] ? ` ${found[0]}/${found[1]}` : ""}`;

  const heading = (scope, text) => Object.assign(make("th", "", text), { scope });

  const runs = (problem, arm, here) => {
    const head = make("tr", "", ...["seed", ...POINTS].map((one) => heading("col", one)));
    const rows = index.seeds.map((seed) => {
      const cells = POINTS.map((point) => make("td", "", tally(counts(problem, arm, seed, point))));
      return make("tr", seed === here ? "here" : "", heading("row", String(seed)), ...cells);
    });
    const table = make("table", "", make("thead", "", head), make("tbody", "", ...rows));
    table.setAttribute("aria-label", `Solved (✓) or not (✗), and right samples, of ${arm}`);
    return table;
  };

  const policy = (problem, whole, title, parts, table) => {
    const box = make("section", table ? "samples-arm" : "samples-arm base", make("h3", "", title), table);
    for (const [point, at] of parts) {
      const found = problem.counts[at];
      const told = !found ? "not evaluated"
        : `${found[3] ? "✓ solved" : "✗ not solved"}${found[1] ? ` · ${found[0]}/${found[1]} right` : ""}` +
          (found[2] ? ` · ${found[2]} truncated` : "");
      const name = point === "base" ? "base" : `${point} (${index.columns[at][3]})`;
      const answers = whole.answers[at].map((one) => answer(one, `${title}, ${point}`));
      box.append(make("div", "", make("h4", "", name, make("span", "", told)), ...answers));
    }
    return box;
  };

  const answer = (one, whose) => {
    const [mark, colour] = VERDICTS[one.verdict] ?? ["?", "open"];
    const which = one.in.map((name) => name === "greedy" ? name : `#${name}`).join(", ");
    const head = make("p", "samples-head", make("b", colour, `${mark} ${one.verdict}`), make("span", "", which));
    if (one.answer !== null) head.append(make("span", "", `answer ${one.answer}`));
    if (one.cut) head.append(make("span", "cut", "⋯ truncated"));
    const reading = make("span", "samples-reading");
    reading.setAttribute("aria-live", "polite");
    head.append(reading);
    const text = make("pre", "");
    text.tabIndex = 0;
    text.setAttribute("aria-label", `${whose}, ${which}: ${one.verdict}`);
    text.setAttribute("role", "group");
    if (one.entropy) {
      one.text.forEach((piece, place) => {
        const token = shade(make("span", piece === "" ? "end" : "", piece === "" ? "⊣" : piece), one.entropy[place]);
        token.dataset.entropy = one.entropy[place];
        text.append(token);
      });
    } else {
      text.append(one.text || "(nothing)");
    }
    if (one.left) text.append(make("span", "end", ` … ${one.left} more letters are not kept here`));
    return make("div", "samples-answer", head, text);
  };

  // Reading a token's number: under the pointer, or moved to with the arrows
  const read = (token) => {
    const text = token.parentElement;
    article.querySelector(".at")?.classList.remove("at");
    token.classList.add("at");
    token.title = nats(token.dataset.entropy);
    const piece = token.classList.contains("end") ? "end of answer" : `“${token.textContent.trim() || "space"}”`;
    text.parentElement.querySelector(".samples-reading").textContent = `${piece} ${token.title}`;
  };
  article.addEventListener("pointerover", (event) => {
    if (event.target.dataset?.entropy) read(event.target);
  });
  for (const leave of ["pointerout", "focusout"]) {
    article.addEventListener(leave, () => article.querySelector(".at")?.classList.remove("at"));
  }
  const step = (by) => {
    const place = left.indexOf(current) + by;
    if (place < 0 || place >= left.length) return;
    show(place);
    remember();
  };
  section.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !current) return;
    if (event.target.matches("input, select") || form.contains(event.target)) return;
    const by = { ArrowLeft: -1, ArrowRight: 1, k: -1, j: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const tokens = event.key.startsWith("Arrow") && event.target.matches("pre")
      ? [...event.target.querySelectorAll("[data-entropy]")] : [];
    if (tokens.length) {
      const at = tokens.findIndex((one) => one.classList.contains("at"));
      read(tokens[Math.min(Math.max(at + by, 0), tokens.length - 1)]);
    } else {
      step(by);
      article.focus({ preventScroll: true });
    }
  });
  for (const button of section.querySelectorAll("[data-step]")) {
    button.addEventListener("click", () => step(Number(button.dataset.step)));
  }
  picker.addEventListener("change", () => { show(Number(picker.value)); remember(); });
  form.addEventListener("input", () => { filter(current && named(current)); remember(); });
  form.addEventListener("reset", () => setTimeout(() => { filter(current && named(current)); remember(); }));
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", () => { if (index && linked()) filter(recall()); });

  window.warmrlBrowser = {
    index: (found) => {
      const keys = ["suite", "id", "kind", "chunk", "place", "opening", "counts"];
      const problems = found.problems.map((one) => Object.fromEntries(keys.map((key, at) => [key, one[at]])));
      for (const problem of problems) problem.suite = found.suites[problem.suite];
      index = { ...found, problems };
      section.querySelector("[data-shown]").textContent = found.shown;
      for (const [name, values] of [["suite", found.suites], ["arm", found.arms], ["seed", found.seeds]]) {
        form.elements[name].append(...values.map((value) => make("option", "", String(value))));
      }
      const steps = [0, 50, 100, 150, 200].map((entropy) => shade(make("span", "", (entropy / 100).toFixed(1)), entropy));
      steps[4].textContent = "2 and more";
      section.querySelector(".samples-scale").append(...steps);
      form.hidden = false;
      filter(recall());
      if (linked()) section.scrollIntoView();
    },
    chunk: (number, found) => chunks.get(number)?.resolve(found),
  };
  count.textContent = "Loading…";
  load("index.js", () => { count.textContent = lost("index"); });
})();
