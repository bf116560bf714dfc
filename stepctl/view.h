// The live view: the model drawn over and over at the foot of the terminal, without an alternate screen, so that what
// was printed before stays and the last picture remains. The pure part is view_model.h.
#pragma once

#include "stepctl/model.h"

struct sc_view;

// NULL when fd is no terminal that can be drawn on (not a terminal, TERM unset or dumb).
struct sc_view *sc_view_open(int fd);
void sc_view_close(struct sc_view *view); // shows the cursor again
// Draws when something changed or a second went by, at most every 60 ms; `force`: now.
void sc_view_draw(struct sc_view *view, const struct sc_model *model, bool force);
// Takes the picture away, so that lines can be printed where it was.
void sc_view_clear(struct sc_view *view);
// The last picture, which stays.
void sc_view_finish(struct sc_view *view, const struct sc_model *model);
void sc_view_suspend(struct sc_view *view);
void sc_view_resume(struct sc_view *view);
void sc_view_resize(struct sc_view *view);
int sc_view_timeout(const struct sc_view *view); // ms until a draw may be due
bool sc_view_colour(const struct sc_view *view);
