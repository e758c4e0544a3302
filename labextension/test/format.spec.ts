import {
  formatBytes,
  formatCount,
  formatCountdown,
  formatTime,
  percent
} from '../src/format';

describe('formatBytes', () => {
  it.each([
    [0, '0 B'],
    [-1, '0 B'],
    [999, '999 B'],
    [1000, '0.98 KiB'],
    [1536, '1.5 KiB'],
    [1023.9 * 1024, '1 MiB'],
    [12.34 * 2 ** 20, '12.3 MiB'],
    [123.4 * 2 ** 20, '123 MiB'],
    [2 ** 30, '1 GiB'],
    [2 ** 70, '1048576 PiB']
  ])('writes %d as %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });
});

describe('formatCountdown', () => {
  it.each([
    [-5, '0:00'],
    [0.2, '0:01'],
    [59.5, '1:00'],
    [95, '1:35'],
    [3700, '1:01:40']
  ])('writes %d seconds as %s', (seconds, text) => {
    expect(formatCountdown(seconds)).toBe(text);
  });
});

describe('other formats', () => {
  it('group the digits of a count', () => {
    expect(formatCount(1234567, 'en')).toBe('1,234,567');
  });

  it('keep a share between nothing and all', () => {
    expect(percent(1, 4)).toBe(25);
    expect(percent(5, 4)).toBe(100);
    expect(percent(-1, 4)).toBe(0);
    expect(percent(1, 0)).toBe(0);
  });

  it('write a time of day, and nothing for what is none', () => {
    expect(formatTime(1_700_000_000)).toMatch(/^\d\d:\d\d:20$/);
    expect(formatTime(Infinity)).toBe('');
  });
});
