import { dashboardUrl, isPage } from '../src/dashboard/pages';
import { ID } from './support/views';

describe('dashboardUrl', () => {
  it('is below the base URL and carries the theme', () => {
    expect(
      dashboardUrl('http://localhost/user/jo/', ID, 'status', 'dark')
    ).toBe(
      `http://localhost/user/jo/nbcluster/dashboard/${ID}/status?theme=dark`
    );
  });

  it('does not let an id reach beyond its place', () => {
    expect(dashboardUrl('/', '../evil', 'status', 'light')).toBe(
      '/nbcluster/dashboard/..%2Fevil/status?theme=light'
    );
  });
});

describe('isPage', () => {
  it('knows the pages that there are', () => {
    expect(isPage('status')).toBe(true);
    expect(isPage('../status')).toBe(false);
    expect(isPage(undefined)).toBe(false);
  });
});
