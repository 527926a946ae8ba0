/* Debug builds of the test harness. */
#ifndef MT_PORT_HARNESS_DEBUG_H
#define MT_PORT_HARNESS_DEBUG_H

/* Prints what the last call counted; ends the run with this code if an accumulator overflowed. In
 * other builds nothing. */
void harness_report_debug(int overflow_exit);

#endif
