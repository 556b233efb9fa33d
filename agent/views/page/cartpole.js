// CartPole and a policy for it, in plain functions of numbers.

// The equations, and the order of their operations, are those of fastcartpole/physics.py: R. V. Florian, "Correct
// equations for the dynamics of the cart-pole system" (2007), equations 23 and 24, with Euler's method.
function nextState([position, velocity, angle, angularVelocity], force, physics) {
  const { gravity, pole_mass, total_mass, half_length, pole_mass_length, tau } = physics;
  const sin = sine(angle);
  const cos = cosine(angle);
  const thrust = (force + pole_mass_length * (angularVelocity * angularVelocity) * sin) / total_mass;
  const angularAcceleration =
    (gravity * sin - cos * thrust) / (half_length * (4.0 / 3.0 - (pole_mass * (cos * cos)) / total_mass));
  const acceleration = thrust - (pole_mass_length * angularAcceleration * cos) / total_mass;
  return [
    position + tau * velocity,
    velocity + tau * acceleration,
    angle + tau * angularVelocity,
    angularVelocity + tau * angularAcceleration,
  ];
}

function hasFallen([position, , angle], physics) {
  return Math.abs(position) > physics.position_threshold || Math.abs(angle) > physics.angle_threshold;
}

// A balanced pole multiplies the smallest difference by e every quarter of a second, and browsers' sines differ in the
// last bit. These do not: Taylor series for small angles, whose first terms are carried along with their rounding
// errors, so that the result is the true value, correctly rounded (but for one angle in many millions).
function sine(x) {
  const [square, squareError] = exactProduct(x, x);
  const [cube, cubeError] = exactProduct(square, x);
  const sixth = cube / 6;
  const [product, productError] = exactProduct(sixth, 6);
  const sixthError = (cube - product - productError + cubeError + squareError * x) / 6;
  const s = square;
  const rest = x * s * s * (1 / 120 + s * (-1 / 5040 + s * (1 / 362880 + s * (-1 / 39916800 + s / 6227020800))));
  const rounded = x - sixth;
  return rounded + (x - rounded - sixth + (rest - sixthError));
}

function cosine(x) {
  const [s, squareError] = exactProduct(x, x);
  const half = s / 2;
  const rest = s * s * (1 / 24 + s * (-1 / 720 + s * (1 / 40320 - s * (1 / 3628800 - s / 479001600))));
  const rounded = 1 - half;
  return rounded + (1 - rounded - half + (rest - squareError / 2));
}

// The product of two numbers and its rounding error: T. J. Dekker, "A floating-point technique for extending the
// available precision" (1971).
function exactProduct(a, b) {
  const [aHigh, aLow] = halves(a);
  const [bHigh, bLow] = halves(b);
  const product = a * b;
  return [product, aHigh * bHigh - product + aHigh * bLow + aLow * bHigh + aLow * bLow];
}

function halves(a) {
  const scaled = 134217729 * a; // 2^27 + 1
  const high = scaled - (scaled - a);
  return [high, a - high];
}

const ACTIVATIONS = {
  linear: (x) => x,
  tanh: Math.tanh,
  relu: (x) => Math.max(x, 0),
  elu: (x) => (x > 0 ? x : Math.expm1(x)),
  silu: (x) => x / (1 + Math.exp(-x)),
};

const LAYERS = {
  dense: ({ kernel, bias, activation }, inputs) =>
    Array.from(bias, (sum, unit) => {
      inputs.forEach((input, row) => (sum += input * kernel[row * bias.length + unit]));
      return ACTIVATIONS[activation](sum);
    }),
  normalization: ({ mean, deviation }, inputs) => inputs.map((input, row) => (input - mean[row]) / deviation[row]),
  clip: ({ low, high }, inputs) => inputs.map((input) => Math.min(Math.max(input, low), high)),
};

// The probability of each action, left and right: softmax of the actor's logits.
function probabilities(layers, state) {
  // The actor was trained with observations in single precision.
  const observation = Array.from(Float32Array.from(state));
  const logits = layers.reduce((values, layer) => LAYERS[layer.kind](layer, values), observation);
  const largest = Math.max(...logits);
  const exponentials = logits.map((logit) => Math.exp(logit - largest));
  const sum = exponentials.reduce((a, b) => a + b);
  return exponentials.map((value) => value / sum);
}

// Arrays travel as base64 of little-endian numbers in single precision.
function decoded(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

function decodedLayer(layer) {
  const arrays = ["kernel", "bias", "mean", "deviation"].filter((name) => name in layer);
  return { ...layer, ...Object.fromEntries(arrays.map((name) => [name, decoded(layer[name])])) };
}
