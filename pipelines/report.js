"use strict";
const { outcomes, pictures } = JSON.parse(document.getElementById("data").textContent);
const gallery = document.querySelector(".gallery");
const filters = document.querySelector(".filters");
const status = document.querySelector(".shown");
const dialog = document.querySelector("dialog");
const chips = [...filters.querySelectorAll(".chip")];
let shown = [];
let open = 0;

// Elements are built, never parsed: whatever a table holds stays text.
function build(namespace, tag, attributes, children) {
  const element = document.createElementNS(namespace, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}
const html = (tag, attributes, ...children) =>
  build("http://www.w3.org/1999/xhtml", tag, attributes, children);
const svg = (tag, attributes, ...children) =>
  build("http://www.w3.org/2000/svg", tag, attributes, children);

// Nothing is quite sure, and nothing that was thought of quite impossible.
function percent(share) {
  if (share > 0.9995) return ">99.9 %";
  return share < 0.0005 ? "<0.1 %" : `${(100 * share).toFixed(1)} %`;
}
const kind = (plate) =>
  plate.text === null ? "unreadable" : plate.right === null ? "unchecked" : plate.right ? "right" : "wrong";
// Pseudonyms differ at their end.
const short = (text) => text.length > 16 ? `…${text.slice(-8)}` : text;
const said = (plate) => plate.text ?? "unreadable";

function outline(picture, corners, tone, text, size, className = "") {
  const points = corners.map((corner) => corner.join()).join(" ");
  const left = Math.min(...corners.map(([x]) => x));
  const top = Math.min(...corners.map(([, y]) => y));
  const bottom = Math.max(...corners.map(([, y]) => y));
  // The text keeps inside the picture: a letter is some 0.65 of its size wide.
  const last = picture.width - 0.65 * size * text.length;
  const label = svg("text", {
    x: Math.max(0, Math.min(left, last)),
    y: top > 1.3 * size ? top - 0.35 * size : Math.min(bottom + size, picture.height),
    "font-size": size,
  }, text);
  return svg("g", { class: `quad-${tone}` }, svg("polygon", { points, class: className }), label);
}

function corners({ x, y, width, height }) {
  return [[x, y], [x + width, y], [x + width, y + height], [x, y + height]];
}

// A picture with its quads and reads; letters are a share of it high.
function view(picture, image, letters) {
  const box = html("span", { class: "picture" });
  if (picture.picture) {
    box.append(image);
    const size = letters * Math.max(picture.width, (4 / 3) * picture.height);
    const quads = picture.plates.map((plate) =>
      outline(picture, plate.corners, kind(plate), plate.text ?? "?", size));
    const missed = picture.missed
      .filter((truth) => truth.box)
      .map((truth) => outline(picture, corners(truth.box), "wrong", `${truth.text || "plate"} missed`, size, "missed"));
    const viewBox = `0 0 ${picture.width} ${picture.height}`;
    box.style.setProperty("--shape", `${picture.width} / ${picture.height}`);
    box.append(svg("svg", { viewBox, "aria-hidden": "true" }, ...quads, ...missed));
  } else {
    box.append(html("span", { class: "absent" }, picture.source));
  }
  return box;
}

// Pictures are decoded when they come into sight, not all at once.
const sources = new WeakMap();
const sight = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    target.src = sources.get(target);
    sight.unobserve(target);
  }
}, { rootMargin: "400px" });

function lazyImage(source) {
  const image = html("img", { alt: "", decoding: "async" });
  sources.set(image, source);
  sight.observe(image);
  return image;
}

function plateText(text) {
  return html("span", { class: "plate" }, text);
}

function card(picture) {
  const reads = picture.plates.map((plate) =>
    html("span", {}, plateText(short(said(plate))), html("small", {}, ` ${percent(plate.confidence)}`)));
  const wrong = picture.plates
    .filter((plate) => plate.right === false)
    .map((plate) => html("small", {}, `truth ${short(plate.truth)}`));
  const button = html("button", { type: "button" },
    view(picture, lazyImage(picture.picture), 0.055),
    html("span", { class: "caption" },
      html("span", { class: `badge ${picture.outcome}` }, outcomes[picture.outcome]),
      html("span", { class: "reads" }, ...reads, ...wrong),
      html("span", { class: "name" }, picture.name)));
  button.addEventListener("click", () => show(shown.indexOf(picture)));
  return html("li", {}, button);
}
const cards = new Map();
function cardOf(picture) {
  if (!cards.has(picture)) cards.set(picture, card(picture));
  return cards.get(picture);
}

// What a search finds: whole plates where it has a wildcard, any part of plate or URI where not.
function matcher(text) {
  const wanted = text.trim().toUpperCase();
  const plates = (picture) =>
    [...picture.plates.flatMap((plate) => [plate.text, plate.raw, plate.truth]), ...picture.missed.map((truth) => truth.text)]
      .filter(Boolean).map((plate) => plate.toUpperCase());
  if (/[*?]/.test(wanted)) {
    const escaped = wanted.replace(/[.+^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*").replaceAll("?", ".");
    const pattern = new RegExp(`^${escaped}$`);
    return (picture) => plates(picture).some((plate) => pattern.test(plate));
  }
  return (picture) =>
    picture.uri.toUpperCase().includes(wanted) || plates(picture).some((plate) => plate.includes(wanted));
}

const needsALook = (picture) => Object.keys(outcomes).indexOf(picture.outcome);
const ORDERS = {
  look: (a, b) => needsALook(a) - needsALook(b) || ORDERS.unsure(a, b),
  unsure: (a, b) => (a.confidence ?? 2) - (b.confidence ?? 2),
  sure: (a, b) => (b.confidence ?? -1) - (a.confidence ?? -1),
  name: (a, b) => a.name.localeCompare(b.name),
};

function filter() {
  const pressed = chips.filter((chip) => chip.ariaPressed === "true").map((chip) => chip.dataset.outcome);
  const { text, from, to, order } = filters.elements;
  const least = Number(from.value) / 100;
  const most = to.value === "" ? 1 : Number(to.value) / 100;
  const anySure = least <= 0 && most >= 1;
  const matches = matcher(text.value);
  shown = pictures
    .filter((picture) => !pressed.length || pressed.includes(picture.outcome))
    .filter((picture) => anySure ||
      picture.plates.some((plate) => least <= plate.confidence && plate.confidence <= most))
    .filter(matches)
    .sort(ORDERS[order.value]);
  gallery.replaceChildren(...shown.map(cardOf));
  status.textContent = shown.length
    ? `${shown.length.toLocaleString("en")} of ${pictures.length.toLocaleString("en")} pictures`
    : "No picture is like that";
}

function facts(pairs) {
  const entries = Object.entries(pairs).filter(([, value]) => value);
  return html("dl", { class: "facts" }, ...entries.flatMap(([name, value]) =>
    [html("dt", {}, name), html("dd", {}, String(value))]));
}

function characters(plate) {
  const cells = plate.characters.map(({ character, probability, alternatives }) =>
    html("li", {},
      html("b", {}, character),
      html("span", { class: "bar", style: `--at:${probability}` }),
      html("small", {}, percent(probability)),
      ...alternatives
        .filter(([other]) => other !== character)
        .map(([other, share]) => html("small", { class: "others" }, `${other} ${percent(share)}`))));
  return cells.length ? html("ol", { class: "characters" }, ...cells) : null;
}

function panel(plate, number) {
  const verdict = { right: "as in the truth", wrong: `the truth is ${plate.truth}`, unchecked: "not in the truth", unreadable: "" };
  const others = plate.alternatives.filter(([text]) => text !== plate.text).slice(0, 5);
  return html("section", { class: "card", "aria-label": `Plate ${number + 1}` },
    html("p", { class: "said" },
      plateText(said(plate)),
      html("span", { class: `badge ${kind(plate)}` }, outcomes[kind(plate)]),
      html("small", {}, [`${percent(plate.confidence)} sure`, verdict[kind(plate)]].filter(Boolean).join(", "))),
    plate.raw && plate.raw !== plate.text ? html("small", {}, `seen as ${plate.raw}`) : null,
    plate.crop ? html("img", { class: "crop", src: plate.crop, alt: `Crop of plate ${number + 1}` }) : null,
    characters(plate),
    others.length
      ? html("p", {}, html("small", {}, "or "), ...others.flatMap(([text, share]) =>
        [plateText(text), html("small", {}, ` ${percent(share)}  `)]))
      : null,
    facts(plate.facts));
}

function show(index) {
  open = index;
  const picture = shown[index];
  dialog.querySelector("h2").textContent = picture.name;
  dialog.querySelector(".place").textContent = `${index + 1} of ${shown.length}`;
  const badge = dialog.querySelector(".badge");
  badge.className = `badge ${picture.outcome}`;
  badge.textContent = outcomes[picture.outcome];
  const missed = picture.missed.map((truth) =>
    html("p", { class: "none" }, "Missed: ", plateText(truth.text || "a plate without a known text")));
  const large = html("img", { src: picture.picture ?? "", alt: `Picture ${picture.name}` });
  dialog.querySelector(".detail").replaceChildren(
    html("div", {}, view(picture, large, 0.032),
      html("section", { class: "card", "aria-label": "Provenance" }, facts(picture.facts))),
    html("div", {}, ...picture.plates.map(panel), ...missed,
      picture.plates.length ? null : html("p", { class: "none" }, picture.facts.Message ?? "No plate was found.")));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

function step(by) {
  show((open + by + shown.length) % shown.length);
}

// Arrows walk over the cards as they lie.
function walk(event) {
  const buttons = [...gallery.querySelectorAll("button")];
  const at = buttons.indexOf(event.target);
  const top = gallery.children[0]?.offsetTop;
  const across = [...gallery.children].findIndex((item) => item.offsetTop > top);
  const row = across < 0 ? buttons.length : across;
  const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -row, ArrowDown: row }[event.key];
  if (at < 0 || !by || !buttons[at + by]) return;
  event.preventDefault();
  buttons[at + by].focus();
}

for (const chip of chips) {
  chip.addEventListener("click", () => {
    chip.ariaPressed = String(chip.ariaPressed !== "true");
    filter();
  });
}
filters.addEventListener("input", filter);
filters.addEventListener("submit", (event) => event.preventDefault());
filters.addEventListener("reset", () => {
  for (const chip of chips) chip.ariaPressed = "false";
  setTimeout(filter); // once the fields are empty
});
gallery.addEventListener("keydown", walk);
dialog.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
dialog.addEventListener("click", (event) => {
  if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
  const button = event.target.closest("[data-step]");
  if (button) step(Number(button.dataset.step));
});
dialog.addEventListener("close", () => cardOf(shown[open]).querySelector("button").focus());
filter();
performance.mark("interactive");
