// The episode that is played live, and what a person sees and does.
const physics = data.physics;
const MAX_STEPS_PER_FRAME = 5;
const PAUSE_AFTER_FALL_S = 1.2;
const FORCE_SMOOTHING = 0.8;
const LEFT = 0;
const RIGHT = 1;

const episode = { state: [], steps: 0, best: 0, isOver: false, averageForce: 0, probabilities: [0.5, 0.5] };
const held = { left: false, right: false };
let layers = [];
let isPaused = prefersReducedMotion;
let lastTime = null;
let unplayed = 0; // seconds that have passed and are not played yet

function restart() {
  const draw = () => (2 * Math.random() - 1) * physics.initial_state_limit;
  Object.assign(episode, { state: [draw(), draw(), draw(), draw()], steps: 0, isOver: false, averageForce: 0 });
  episode.probabilities = probabilities(layers, episode.state);
  unplayed = 0;
}

function chosenAction() {
  const [left, right] = episode.probabilities;
  if (element("sample").checked) return Math.random() < right ? RIGHT : LEFT;
  return right > left ? RIGHT : LEFT;
}

function userForce() {
  return physics.force_magnitude * (Number(held.right) - Number(held.left));
}

function step() {
  const force = chosenAction() === RIGHT ? physics.force_magnitude : -physics.force_magnitude;
  episode.state = nextState(episode.state, force + userForce(), physics);
  episode.steps += 1;
  episode.best = Math.max(episode.best, episode.steps);
  episode.averageForce += (1 - FORCE_SMOOTHING) * (force - episode.averageForce);
  episode.probabilities = probabilities(layers, episode.state);
  if (hasFallen(episode.state, physics)) {
    episode.isOver = true;
    element("news").textContent = `The episode ended after ${episode.steps} steps.`;
  }
}

// Real time: a step every physics.tau seconds, however often the screen is drawn.
function advance(seconds) {
  unplayed = Math.min(unplayed + seconds, PAUSE_AFTER_FALL_S + physics.tau);
  if (episode.isOver) {
    if (unplayed > PAUSE_AFTER_FALL_S) restart();
    return;
  }
  unplayed = Math.min(unplayed, MAX_STEPS_PER_FRAME * physics.tau);
  while (unplayed >= physics.tau && !episode.isOver) {
    unplayed -= physics.tau;
    step();
  }
  if (episode.isOver) unplayed = 0;
}

function setPaused(value) {
  isPaused = value;
  lastTime = null;
  element("pause").textContent = isPaused ? "Play" : "Pause";
}

// Drawing: metres from the centre of the track, y upwards.
function draw() {
  const canvas = element("stage");
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(`--${name}`);
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  const metre = width / (2.3 * physics.position_threshold);
  context.setTransform(scale * metre, 0, 0, -scale * metre, (scale * width) / 2, scale * height * 0.78);
  drawTrack(context, color);
  context.globalAlpha = episode.isOver ? 0.45 : 1;
  drawCart(context, color, episode.state);
  drawForce(context, color("policy"), episode.averageForce, -0.28);
  drawForce(context, color("user"), userForce(), -0.45);
  context.globalAlpha = 1;
}

function drawTrack(context, color) {
  const end = physics.position_threshold;
  context.lineWidth = 0.02;
  context.strokeStyle = color("line");
  line(context, [-end, 0], [end, 0]);
  for (const x of [-end, end]) line(context, [x, -0.1], [x, 0.1]);
}

function drawCart(context, color, [position, , angle]) {
  context.fillStyle = color("text");
  context.beginPath();
  context.roundRect(position - 0.25, -0.12, 0.5, 0.24, 0.05);
  context.fill();
  context.lineCap = "round";
  context.lineWidth = 0.09;
  context.strokeStyle = color("pole");
  const length = 2 * physics.half_length;
  const foot = [position, 0.1];
  line(context, foot, [position + length * Math.sin(angle), 0.1 + length * Math.cos(angle)]);
  context.lineCap = "butt";
  context.fillStyle = color("joint");
  context.beginPath();
  context.arc(...foot, 0.045, 0, 2 * Math.PI);
  context.fill();
}

function drawForce(context, color, force, height) {
  const length = (0.7 * force) / physics.force_magnitude;
  if (Math.abs(length) < 0.02) return;
  const [start, end] = [episode.state[0], episode.state[0] + length];
  const head = Math.sign(length) * Math.min(0.14, Math.abs(length));
  context.strokeStyle = context.fillStyle = color;
  context.lineWidth = 0.045;
  line(context, [start, height], [end - head, height]);
  context.beginPath();
  context.moveTo(end, height);
  context.lineTo(end - head, height + 0.08);
  context.lineTo(end - head, height - 0.08);
  context.fill();
}

function line(context, from, to) {
  context.beginPath();
  context.moveTo(...from);
  context.lineTo(...to);
  context.stroke();
}

function showFigures() {
  const seconds = (episode.steps * physics.tau).toFixed(1);
  const outcome = episode.isOver ? "fell after " : "";
  element("clock").textContent = `${outcome}${episode.steps} steps, ${seconds} s`;
  element("best").textContent = `longest: ${episode.best} steps`;
  const [bars, numbers] = ["i", "b"].map((tag) => element("probabilities").querySelectorAll(tag));
  episode.probabilities.forEach((probability, action) => {
    bars[action].style.width = `${100 * probability}%`;
    numbers[action].textContent = `${Math.round(100 * probability)}%`;
  });
}

function onFrame(time) {
  if (!isPaused) {
    advance(lastTime === null ? 0 : (time - lastTime) / 1000);
    lastTime = time;
  }
  draw();
  showFigures();
  requestAnimationFrame(onFrame);
}

function setHeld(side, isHeld) {
  held[side] = isHeld;
  element(`push-${side}`).classList.toggle("held", isHeld);
}

const SIDES = { ArrowLeft: "left", ArrowRight: "right" };

function onKeyDown(event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const isSlider = event.target.type === "range";
  const isControl = event.target.matches("button, input");
  if (event.key in SIDES && !isSlider) {
    setHeld(SIDES[event.key], true);
    event.preventDefault();
  } else if (event.key === " " && !isControl) {
    if (!event.repeat) setPaused(!isPaused);
    event.preventDefault();
  } else if (event.key.toLowerCase() === "r") {
    restart();
  }
}

function setUpButtons() {
  for (const side of ["left", "right"]) {
    const button = element(`push-${side}`);
    button.addEventListener("pointerdown", (event) => {
      button.setPointerCapture(event.pointerId);
      setHeld(side, true);
    });
    for (const type of ["pointerup", "pointercancel", "lostpointercapture"]) {
      button.addEventListener(type, () => setHeld(side, false));
    }
    button.addEventListener("contextmenu", (event) => event.preventDefault());
    // Space and Enter hold a focused button as a finger does.
    button.addEventListener("keydown", (event) => {
      if (event.key === " " || event.key === "Enter") setHeld(side, true);
    });
    button.addEventListener("keyup", () => setHeld(side, false));
  }
  element("pause").addEventListener("click", () => setPaused(!isPaused));
  element("restart").addEventListener("click", restart);
}

function release() {
  for (const side of ["left", "right"]) setHeld(side, false);
}

setUpChooser((policy) => {
  layers = policy.layers.map(decodedLayer);
  if (!episode.state.length) restart();
  episode.probabilities = probabilities(layers, episode.state);
});
setUpButtons();
setPaused(isPaused);
document.addEventListener("keydown", onKeyDown);
document.addEventListener("keyup", (event) => event.key in SIDES && setHeld(SIDES[event.key], false));
window.addEventListener("blur", release);
document.addEventListener("visibilitychange", () => {
  lastTime = null;
  release();
});
requestAnimationFrame(onFrame);
