// Command demo shows the main job to a person: it starts a real API server and
// the real program, makes pods, and shows what becomes of them and why.
//
// Every command it shows is the command it ran, by the shell, in the directory
// of the checkout. Every step checks what it promises; when one does not come
// out as promised, the program says so and exits with 1. It needs no network
// and no cluster, and whatever ends it, it leaves no process and no file.
package main
