// The legend: a button for each person and each class, which switches it on and off. Body of a function of `element`,
// `props`, `watch`; see gr.HTML's js_on_load. What is shown goes back to the server as part of the component's value,
// with the downloads. People and classes are switched alike: their indices differ.
function tell(name, detail) {
  document.dispatchEvent(new CustomEvent(`parsing:${name}`, { detail }));
}

function percent(value) {
  return value < 0.1 ? "< 0.1 %" : `${value.toFixed(1)} %`;
}

function indexOf(event) {
  const button = event.target.closest(".switches button");
  return button ? Number(button.dataset.index) : null;
}

function show(indices) {
  props.value = { ...props.value, shown: indices };
  mark();
  tell("shown", indices);
}

function mark() {
  for (const button of element.querySelectorAll(".switches button")) {
    button.setAttribute("aria-pressed", props.value.shown.includes(Number(button.dataset.index)));
  }
}

function rowsOf(kind) {
  return ((props.value && props.value.rows) || []).filter((row) => row.kind === kind);
}

function switchFor(row) {
  const button = document.createElement("button");
  const share = document.createElement("small");
  button.type = "button";
  button.dataset.index = row.index;
  if (row.colour) {
    const swatch = document.createElement("span");
    swatch.className = "swatch";
    swatch.style.setProperty("--colour", row.colour);
    button.append(swatch);
  }
  share.textContent = percent(row.percent);
  button.append(row.name, share);
  return button;
}

function build() {
  for (const kind of ["people", "classes"]) {
    const rows = rowsOf(kind);
    element.querySelector(`.${kind} .switches`).replaceChildren(...rows.map(switchFor));
    element.querySelector(`.${kind} .tools`).hidden = rows.length === 0;
  }
  mark();
}

for (const kind of ["people", "classes"]) {
  const list = element.querySelector(`.${kind} .switches`);
  const tool = (name) => element.querySelector(`.${kind} .${name}`);
  const others = () => {
    const own = rowsOf(kind).map((row) => row.index);
    return props.value.shown.filter((index) => !own.includes(index));
  };
  list.addEventListener("click", (event) => {
    const index = indexOf(event);
    if (index === null) return;
    const shown = props.value.shown;
    show(shown.includes(index) ? shown.filter((other) => other !== index) : [...shown, index]);
  });
  for (const name of ["pointerover", "focusin"]) list.addEventListener(name, (event) => tell("light", indexOf(event)));
  for (const name of ["pointerleave", "focusout"]) list.addEventListener(name, () => tell("light", null));
  tool("all").addEventListener("click", () => show([...others(), ...rowsOf(kind).map((row) => row.index)]));
  tool("none").addEventListener("click", () => show(others()));
}
watch("value", build);
build();
