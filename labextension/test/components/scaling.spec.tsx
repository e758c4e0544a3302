import { act } from 'react';

import { CommandIDs } from '../../src/commands/ids';
import { Scaling } from '../../src/components/scaling';
import { ClustersModel } from '../../src/model/clusters';
import { TestIds } from '../../src/testids';
import { click, fill, IPage, openPage } from '../support/render';
import { FakeServer } from '../support/server';
import { cluster, ID } from '../support/views';

describe('Scaling', () => {
  let model: ClustersModel;
  let page: IPage;

  beforeEach(async () => {
    jest.useFakeTimers();
    const server = new FakeServer();
    model = server.model();
    page = openPage(model);
    page.show(<Scaling cluster={cluster({ requested: 2 })} />);
    await act(() => Promise.resolve());
  });

  afterEach(() => {
    page.close();
    model.dispose();
    jest.useRealTimers();
  });

  const input = (testId: string) => page.find(testId) as HTMLInputElement;
  const wait = (milliseconds: number) =>
    act(() => jest.advanceTimersByTimeAsync(milliseconds));

  it('reaches as far as the machine', () => {
    expect(input(TestIds.scaleSlider).max).toBe('8');
    expect(input(TestIds.scaleSlider).value).toBe('2');
  });

  it('sends one wish for a drag, when the hand rests', async () => {
    for (const n of ['3', '4', '5']) {
      fill(input(TestIds.scaleSlider), n);
      await wait(100);
    }
    expect(page.ran).toEqual([]);
    expect(input(TestIds.scaleInput).value).toBe('5');
    await wait(600);
    expect(page.ran).toEqual([
      { id: CommandIDs.scale, args: { id: ID, n: 5 } }
    ]);
  });

  it('shows the number that there is again when the wish was not granted', async () => {
    fill(input(TestIds.scaleSlider), '7');
    await wait(600);
    expect(input(TestIds.scaleSlider).value).toBe('2');
  });

  it('lets a field be empty while one types', async () => {
    fill(input(TestIds.scaleInput), '');
    await wait(600);
    expect(input(TestIds.scaleInput).value).toBe('');
    expect(page.ran).toEqual([]);
  });

  it('switches adapting on with the limits that are shown', () => {
    click(page.find(TestIds.adaptSwitch));
    expect(page.ran).toEqual([
      { id: CommandIDs.adapt, args: { id: ID, minimum: 0, maximum: 8 } }
    ]);
  });

  it('changes the limits, and switches adapting off', async () => {
    const adaptive = { minimum: 1, maximum: 4, target: 2, reason: 'work' };
    page.show(<Scaling cluster={cluster({ adaptive })} />);
    fill(input(TestIds.adaptMaximum), '6');
    await wait(600);
    click(page.find(TestIds.adaptSwitch));
    expect(page.ran).toEqual([
      { id: CommandIDs.adapt, args: { id: ID, minimum: 1, maximum: 6 } },
      { id: CommandIDs.stopAdapting, args: { id: ID } }
    ]);
  });

  it('does not send limits that make no sense, but lets them be corrected', async () => {
    const adaptive = { minimum: 1, maximum: 4, target: 2, reason: 'work' };
    page.show(<Scaling cluster={cluster({ adaptive })} />);
    fill(input(TestIds.adaptMinimum), '9');
    await wait(600);
    expect(page.ran).toEqual([]);
    expect(page.node.querySelector('[role=alert]')?.textContent).toMatch(
      'must not be above'
    );
    fill(input(TestIds.adaptMinimum), '3');
    await wait(600);
    expect(page.ran).toEqual([
      { id: CommandIDs.adapt, args: { id: ID, minimum: 3, maximum: 4 } }
    ]);
  });
});
