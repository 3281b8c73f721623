"""
Raw sensor spikes through the model of their device's class: input frames in, rows of role output out.

What follows decides alerts, so it is a function of the records alone; tests/reference has it row by row.

1. Frames that count (no duplicates, none of a crowd) are taken in log order, at their effective times (re-timed as all frames are).
2. The class of the inventory chooses the model. A frame of a class without one is counted, and raises nothing.
   One that doesn't fit its model (`frames.fault`) is a dead letter.
3. A model has a clock: a step each `step_ns` from the frame's start on, up to the step that holds its end; or, without `step_ns`, a step
   for each event.
4. With `window`, each frame runs from zero, in windows of so many steps with the flush behind each; the last window is filled with silence.
5. Else the state is carried from frame to frame. It is zero at a device's first frame in each interval of append time of length
   `memory_s`, aligned to the epoch, and after a switch to another model or class.
   Whole steps of time that no frame covered, from where the frames so far end to this one's start, are run in silence first. A frame that
   begins earlier goes on at once. If silence and frame together are more than `MOST_STEPS`, the state begins at zero instead.
6. Each spike of an output is a row of the same record and device: the name of its layer, its `neuron`, and the time of its step. Steps of
   silence lie before the frame, but count no earlier than the late limit before its append time; a flush counts at the frame's end at
   the latest. Rows are in the order of steps, those of a step in the order of the outputs.
"""
