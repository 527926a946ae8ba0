/* The link names of a network's functions and constants. `compile` writes this file anew: there
 * every external name gets the number of the project, so that objects and archives of two networks,
 * or an old archive and a new header, never answer for one another. Here names are what they are.
 */
