/** Figures as people read them. Everything here is pure. */

const BINARY_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** `1536` is `1.5 KiB`: three digits at most, and never `1024 MiB`. */
export function formatBytes(bytes: number): string {
  let value = Math.max(0, bytes);
  let unit = 0;
  while (value >= 999.5 && unit < BINARY_UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const decimals = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${Number(value.toFixed(decimals))} ${BINARY_UNITS[unit] ?? ''}`;
}

/** `12345` is `12,345` in English. */
export function formatCount(count: number, locale?: string): string {
  return count.toLocaleString(locale);
}

/** A share of a whole in per cent, `0` when there is no whole. */
export function percent(part: number, whole: number): number {
  return whole > 0 ? Math.min(100, Math.max(0, (100 * part) / whole)) : 0;
}

/** `95` seconds are `1:35`, and `3700` are `1:01:40`; never negative. */
export function formatCountdown(seconds: number): string {
  const left = Math.max(0, Math.ceil(seconds));
  const two = (n: number) => String(n).padStart(2, '0');
  const hours = Math.floor(left / 3600);
  const minutes = Math.floor(left / 60) % 60;
  return hours > 0
    ? `${hours}:${two(minutes)}:${two(left % 60)}`
    : `${minutes}:${two(left % 60)}`;
}

/** The time of day of a log line, in the browser's time zone. */
export function formatTime(seconds: number): string {
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) {
    return '';
  }
  const two = (n: number) => String(n).padStart(2, '0');
  return [date.getHours(), date.getMinutes(), date.getSeconds()]
    .map(two)
    .join(':');
}
