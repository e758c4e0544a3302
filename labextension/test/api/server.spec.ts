import { ServerConnection } from '@jupyterlab/services';

import { connect } from '../../src/api/server';

function settingsThatAnswer(status: number) {
  return ServerConnection.makeSettings({
    baseUrl: 'http://localhost/',
    fetch: () => Promise.resolve(new Response('[]', { status }))
  });
}

describe('connect', () => {
  let warn: jest.SpyInstance;

  beforeEach(() => {
    warn = jest.spyOn(console, 'warn').mockImplementation();
  });

  afterEach(() => {
    warn.mockRestore();
  });

  it('finds a server with nbcluster', async () => {
    await expect(connect(settingsThatAnswer(200)).available).resolves.toBe(
      true
    );
  });

  it('stays quiet when the server has no nbcluster', async () => {
    await expect(connect(settingsThatAnswer(404)).available).resolves.toBe(
      false
    );
    expect(warn).not.toHaveBeenCalled();
  });

  it('says so when the server part is there but broken', async () => {
    await expect(connect(settingsThatAnswer(500)).available).resolves.toBe(
      false
    );
    expect(warn).toHaveBeenCalledTimes(1);
  });
});
