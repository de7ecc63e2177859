// The run's networks, and how their figures are written.
const data = JSON.parse(document.getElementById("data").textContent);
const nets = data.networks;
const count = nets.id.length;
const everyone = nets.id.map((_, index) => index);
const front = everyone.filter((index) => nets.front[index]).sort((i, j) => nets.x[i] - nets.x[j]);
// Further objectives: a list of values each, in the order of data.further; none of most runs.
const further = nets.further;
const better = (i, j) => (data.percent ? nets.y[j] > nets.y[i] : nets.y[j] < nets.y[i]);
const bestOf = (list) => list.reduce((best, index) => (best === null || !better(index, best) ? index : best), null);
const best = bestOf(front);
const timed = data.cost === "latency (ms)";
const unit = { "latency (ms)": " ms", parameters: " parameters", MACs: " MACs" }[data.cost] || "";
const referenceAt = nets.id.indexOf(data.reference);

const whole = (value) => (value === null || value === undefined ? "–" : value.toLocaleString("en"));
const fine = (value) => Number(value.toPrecision(4)).toString();
const amount = (value) => (Math.abs(value) >= 10000 ? Math.round(value).toLocaleString("en") : Number(value.toPrecision(3)).toString());
const cost = (value) => amount(value) + unit;
const quality = (value, digits = 1) => (data.percent ? `${value.toFixed(digits)} %` : Number(value.toPrecision(4)).toString());
const share = (value) => `${(100 * value).toFixed(value < 0.1 ? 1 : 0)} %`;
// One standard error, in percent, of a score that was found on the validation images.
const bestWords = data.percent && data.score === "accuracy" ? "most accurate" : "best";
const hasError = (index) => nets.error[index] !== null;
const qualityError = (index) => nets.error[index] || 0;
// How sure the front is: the score that is expected without luck, and the chance to be on the front, in percent.
const isJudged = nets.chance.some((chance) => chance !== null);
const judged = (index) => (nets.chance[index] === null ? "" : `${nets.expected[index] === null ? "" : `expected ${quality(nets.expected[index])}, `}on the front with a chance of ${nets.chance[index].toFixed(0)} %`);
const isTrained = (index) => nets.test[index] !== null; // in full, with a test score
const anyTrained = everyone.some(isTrained);
const testAccuracy = (index) => (isTrained(index) ? `${quality(nets.test[index], 2)} (${quality(nets.testLow[index])} to ${quality(nets.testHigh[index])})` : "–");
const hasInterval = (index) => nets.high[index] > nets.low[index];
const interval = (index) => (hasInterval(index) ? `${fine(nets.low[index])} to ${fine(nets.high[index])}` : "");

// A network as it is written: a table's name, or the notations of its parts.
const parts = (index) => nets.parts[index].map((place) => data.parts[place]);
const notation = (index) => (nets.name ? nets.name[index] : parts(index).map((part) => part[0]).join("-"));

const roles = (index) => {
  const found = [];
  if (front.length > 1 && index === front[0]) found.push(timed ? "fastest" : "cheapest");
  if (front.length > 1 && index === best) found.push(bestWords);
  further.forEach((values, place) => { if (front.length > 1 && index === leastOf(place)) found.push(`least ${data.further[place].label}`); });
  const knee = data.knees.indexOf(index);
  if (knee >= 0) found.push(knee ? "a knee" : "the knee");
  if (index === referenceAt) found.push(data.referenceName);
  if (!found.length) found.push(nets.front[index] ? "on the front" : "not on the front");
  return found;
};

// The network of the front with the least of a further objective, the best of these.
const leastOf = (place) => {
  const least = Math.min(...front.map((index) => further[place][index]));
  return bestOf(front.filter((index) => further[place][index] === least));
};
const amountOf = (place, value) => amount(value) + data.further[place].unit;

// The best network of the front that costs at most so much, and so much of each further objective; null where none does.
const isWithin = (index, limits) => limits.every((limit, place) => limit === null || further[place][index] <= limit * (1 + 1e-9));
const bestWithin = (limit, limits) => bestOf(front.filter((index) => nets.x[index] <= limit && isWithin(index, limits)));

// Whether networks have an accuracy beside their score; detectors have none.
const hasAccuracies = data.score !== "accuracy" && !nets.name && nets.accuracy.some((value) => value !== null);

// How a network compares with another, in words.
const compared = (index, other) => {
  const factor = nets.x[other] / nets.x[index];
  const gain = nets.y[index] - nets.y[other];
  const [less, more] = timed ? ["faster", "slower"] : ["cheaper", "dearer"];
  const cheaper = Math.abs(factor - 1) < 0.005 ? `as ${timed ? "fast" : "cheap"} as` : `${(factor > 1 ? factor : 1 / factor).toFixed(2)} times ${factor > 1 ? `${less} than` : `${more} than`}`;
  if (!data.percent) return `A is ${cheaper} B.`;
  const noise = Math.hypot(qualityError(index), qualityError(other));
  const points = `${Math.abs(gain).toFixed(1)} points ${gain < 0 ? "less" : "more"}`;
  const isAccuracy = data.score === "accuracy";
  const size = Math.abs(gain) < 0.05 ? (isAccuracy ? "as accurate" : `has the same ${data.score}`) : isAccuracy ? `${points} accurate` : `has ${points} ${data.score}`;
  const doubt = data.validation && Math.abs(gain) < 2 * noise ? `; with ${whole(data.validation)} validation images, a difference in ${data.score} below ${(2 * noise).toFixed(1)} points may be chance` : "";
  return `A is ${cheaper} B and ${size}${doubt}.`;
};

const element = (tag, attributes = {}, ...children) => {
  const made = tag.startsWith("svg:") ? document.createElementNS("http://www.w3.org/2000/svg", tag.slice(4)) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
};
