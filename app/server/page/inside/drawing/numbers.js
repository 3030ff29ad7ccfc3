// Numbers as text.
import "../../vendor/d3.min.js";

const { d3 } = globalThis;
const SMALLEST = 1e-7; // smaller numbers have an exponent
const formats = new Map();

// A number with a fixed count of decimals, fewer for large numbers, such as 0.123, −12.35 or 1,234.
export function number(value, decimals = 3) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "not a number" : value < 0 ? "−∞" : "∞";
  const size = Math.abs(value);
  if (Number.isInteger(value)) return whole(value);
  const used = Math.max(0, decimals - (size >= 10) - (size >= 100) - (size >= 1000));
  if (size && size < 0.5 * 10 ** -used) return d3.format(size < SMALLEST ? ".0e" : ".1r")(value);
  if (!formats.has(used)) formats.set(used, d3.format(`,.${used}f`));
  return formats.get(used)(value);
}

export const whole = d3.format(",d");

// A number with three decimals, however large it is, for columns of numbers that are compared.
export const thousandths = d3.format(",.3f");

export function percent(share) {
  return `${(100 * share).toFixed(share < 0.01 ? 2 : share < 0.1 ? 1 : 0)} %`;
}
