// Arrays of the model. The server sends most of them as 16-bit floats, which halves the size of the answer.
const SIGN = 0x8000;
const LARGEST_EXPONENT = 31;
let floats = null; // the value of each of the 65,536 patterns of 16 bits

// An array of numbers with a shape. `data` is a Float32Array in row-major order.
export class Tensor {
  constructor(shape, data) {
    this.shape = shape;
    this.data = data;
  }

  // The number at these indices, one for each axis.
  at(...indices) {
    return this.data[indices.reduce((sum, index, axis) => sum * this.shape[axis] + index, 0)];
  }

  // The part at these indices of the first axes, as a tensor of the other axes that shares its memory.
  part(...indices) {
    const shape = this.shape.slice(indices.length);
    const size = shape.reduce((product, length) => product * length, 1);
    const start = size * indices.reduce((sum, index, axis) => sum * this.shape[axis] + index, 0);
    return new Tensor(shape, this.data.subarray(start, start + size));
  }

  // The numbers of the part at these indices.
  row(...indices) {
    return this.part(...indices).data;
  }
}

// Replaces each {shape, float16} or {shape, float32} in an answer of the server by a tensor.
export function decode(answer) {
  if (Array.isArray(answer)) return answer.map(decode);
  if (answer === null || typeof answer !== "object") return answer;
  if (answer.float16 !== undefined) return new Tensor(answer.shape, halves(answer.float16));
  if (answer.float32 !== undefined) return new Tensor(answer.shape, singles(answer.float32));
  return Object.fromEntries(Object.entries(answer).map(([name, value]) => [name, decode(value)]));
}

const bytesOf = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));

function singles(base64) {
  const view = new DataView(bytesOf(base64).buffer);
  return Float32Array.from({ length: view.byteLength / 4 }, (_, i) => view.getFloat32(4 * i, true));
}

function halves(base64) {
  floats ??= Float32Array.from({ length: 1 << 16 }, (_, bits) => float(bits));
  const bytes = bytesOf(base64);
  return Float32Array.from({ length: bytes.length / 2 }, (_, i) => floats[bytes[2 * i] | (bytes[2 * i + 1] << 8)]);
}

// The number that 16 bits stand for (IEEE 754 binary16).
function float(bits) {
  const sign = bits & SIGN ? -1 : 1;
  const exponent = (bits >> 10) & LARGEST_EXPONENT;
  const fraction = (bits & 1023) / 1024;
  if (exponent === LARGEST_EXPONENT) return fraction ? NaN : sign * Infinity;
  return exponent ? sign * 2 ** (exponent - 15) * (1 + fraction) : sign * 2 ** -14 * fraction;
}

export const sum = (values) => values.reduce((total, value) => total + value, 0);
export const dot = (one, other) => one.reduce((total, value, i) => total + value * other[i], 0);
export const norm = (values) => Math.sqrt(dot(values, values));
