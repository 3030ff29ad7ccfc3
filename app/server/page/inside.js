export function startInside() {}
