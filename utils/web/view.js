// The parsed picture: class and person below the pointer are named, the class stands out. Body of a function of
// `element`, `props`, `watch`; see gr.HTML's js_on_load. Nothing here asks the server.
const figure = element.querySelector("figure");
const image = element.querySelector("img");
const canvas = element.querySelector("canvas");
const label = element.querySelector(".class-label");
const note = element.querySelector(".note");
let scene = null;
let classes = null; // a number a pixel, as in the masks
let people = null; // likewise, 0 for nobody; null where people were not looked for
let shown = new Set();
let lit = null;

async function unpack(text) {
  if (!text) return null;
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

// The switch of a person, null for nobody.
function switchOf(person) {
  return person ? scene.first_person + person : null;
}

// The colour of each class, for the pixels of a person, or of nobody.
function coloursOf(person) {
  const colours = new Uint32Array(256); // little-endian RGBA; 0 is transparent
  const own = switchOf(person);
  if (own !== null && !shown.has(own)) return colours;
  for (let index = 0; index < scene.colours.length; index++) {
    if (!shown.has(index)) continue;
    const [red, green, blue] = scene.colours[index];
    const alpha = lit === null || lit === index || lit === own ? 255 : 110;
    colours[index] = ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;
  }
  return colours;
}

function paint() {
  if (!scene) return;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(scene.width, scene.height);
  const target = new Uint32Array(pixels.data.buffer);
  const colours = [];
  for (let i = 0; i < classes.length; i++) {
    const person = people ? people[i] : 0;
    colours[person] ??= coloursOf(person);
    target[i] = colours[person][classes[i]];
  }
  context.putImageData(pixels, 0, 0);
}

function light(index) {
  const next = index !== null && shown.has(index) ? index : null;
  if (next === lit) return;
  lit = next;
  paint();
}

// Browsers cannot show formats such as HEIC where they were chosen; the JPEG of the server can stand there.
async function mendUpload(picture) {
  const chosen = document.querySelector("#upload img");
  const source = chosen && chosen.src;
  if (chosen) await chosen.decode().catch(() => chosen.src === source && (chosen.src = picture));
}

async function load() {
  const wanted = props.value;
  const usable = wanted && wanted.classes;
  const maps = usable ? await Promise.all([unpack(wanted.classes), unpack(wanted.people)]) : [null, null];
  if (usable) {
    image.src = wanted.picture;
    await image.decode().catch(() => {});
  }
  if (wanted !== props.value) return; // another picture came meanwhile, and is being loaded
  note.textContent = (wanted && wanted.note) || (usable ? "" : note.dataset.empty);
  note.hidden = !note.textContent;
  note.classList.toggle("message", Boolean(wanted && wanted.note));
  figure.hidden = !usable;
  label.hidden = true;
  scene = usable ? wanted : null;
  classes = maps[0] && new Uint8Array(maps[0]);
  people = maps[1] && new Uint16Array(maps[1]); // little-endian, as browsers are
  lit = null;
  if (!scene) return;
  shown = new Set(scene.shown);
  figure.style.setProperty("--ratio", scene.width / scene.height);
  canvas.width = scene.width;
  canvas.height = scene.height;
  paint();
  figure.dataset.number = scene.number;
  mendUpload(scene.picture);
  // On a phone the picture's own place is above, and fills the screen.
  if (figure.getBoundingClientRect().top > 0.6 * window.innerHeight) figure.scrollIntoView({ block: "center" });
}

function point(event) {
  if (!scene) return;
  const box = canvas.getBoundingClientRect();
  const x = Math.floor(((event.clientX - box.left) / box.width) * scene.width);
  const y = Math.floor(((event.clientY - box.top) / box.height) * scene.height);
  const inside = x >= 0 && y >= 0 && x < scene.width && y < scene.height;
  const index = inside ? classes[y * scene.width + x] : null;
  const person = inside && people ? people[y * scene.width + x] : 0;
  const name = index === null ? undefined : scene.names[index];
  label.hidden = name === undefined;
  if (label.hidden) return light(null);
  label.lastElementChild.textContent = person ? `${name}, ${scene.names[switchOf(person)]}` : name;
  label.firstElementChild.style.background = `rgb(${scene.colours[index]})`;
  // Beside the pointer, on the side that has room.
  const left = event.clientX - box.left;
  const top = event.clientY - box.top;
  const flip = left > box.width / 2;
  label.style.transform = `translate(${flip ? "calc(-100% - 12px)" : "14px"}, ${top > 40 ? "-130%" : "60%"})`;
  label.style.left = `${left}px`;
  label.style.top = `${top}px`;
  light(index);
}

canvas.addEventListener("pointermove", point);
canvas.addEventListener("pointerdown", point);
canvas.addEventListener("pointerleave", () => {
  label.hidden = true;
  light(null);
});
document.addEventListener("parsing:shown", (event) => {
  shown = new Set(event.detail);
  paint();
});
document.addEventListener("parsing:light", (event) => light(event.detail));
document.addEventListener("parsing:opacity", (event) => (canvas.style.opacity = event.detail));
canvas.style.opacity = props.opacity;
watch("value", load);
load();
