/** What systemd says of a unit. */
export interface UnitState {
  /** UnitFileState: enabled, disabled, static, generated, … */
  readonly enabled: boolean;
  /** ActiveState is active or activating */
  readonly active: boolean;
}
