/* CartPole in scalar single precision, one environment after the other: how a fast environment is usually written in C.
 * Random actions, episodes started anew within the step, all results stored. The equations are those of
 * fastcartpole/physics.py; single precision makes the trajectories other ones. */

#include <math.h>
#include <stdint.h>

typedef struct {
    float position, velocity, angle, angular_velocity;
    int32_t elapsed_steps;
    uint32_t random;
} Environment;

static const float GRAVITY = 9.8f, POLE_MASS = 0.1f, TOTAL_MASS = 1.1f, HALF_LENGTH = 0.5f, FORCE = 10.0f, TAU = 0.02f;
static const float POSITION_THRESHOLD = 2.4f, ANGLE_THRESHOLD = 0.20943951f;
static const int32_t MAX_EPISODE_STEPS = 500;

/* xorshift32 (G. Marsaglia, "Xorshift RNGs", 2003). */
static uint32_t next_random(Environment *environment) {
    uint32_t x = environment->random;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return environment->random = x;
}

static float initial_value(Environment *environment) {
    return (float)next_random(environment) * (0.1f / 4294967296.0f) - 0.05f;
}

static void reset(Environment *environment) {
    environment->position = initial_value(environment);
    environment->velocity = initial_value(environment);
    environment->angle = initial_value(environment);
    environment->angular_velocity = initial_value(environment);
    environment->elapsed_steps = 0;
}

void reset_all(Environment *environments, int64_t num_envs) {
    for (int64_t i = 0; i < num_envs; i++) {
        environments[i].random = (uint32_t)(i + 1) * 2654435761u;
        reset(&environments[i]);
    }
}

/* Shapes: observations (T, N, 4), the others (T, N). */
void roll_out(Environment *environments, int64_t num_envs, int64_t num_steps, float *observations, int64_t *actions,
              double *rewards, uint8_t *terminated, uint8_t *truncated) {
    for (int64_t t = 0; t < num_steps; t++) {
        for (int64_t i = 0; i < num_envs; i++) {
            Environment *e = &environments[i];
            int64_t row = t * num_envs + i;
            int64_t action = next_random(e) >> 31;
            float force = action ? FORCE : -FORCE;
            float sine = sinf(e->angle), cosine = cosf(e->angle);
            float thrust = (force + POLE_MASS * HALF_LENGTH * e->angular_velocity * e->angular_velocity * sine) / TOTAL_MASS;
            float angular_acceleration = (GRAVITY * sine - cosine * thrust) /
                                         (HALF_LENGTH * (4.0f / 3.0f - POLE_MASS * cosine * cosine / TOTAL_MASS));
            float acceleration = thrust - POLE_MASS * HALF_LENGTH * angular_acceleration * cosine / TOTAL_MASS;
            e->position += TAU * e->velocity;
            e->velocity += TAU * acceleration;
            e->angle += TAU * e->angular_velocity;
            e->angular_velocity += TAU * angular_acceleration;
            e->elapsed_steps++;
            int fallen = fabsf(e->position) > POSITION_THRESHOLD || fabsf(e->angle) > ANGLE_THRESHOLD;
            int at_limit = e->elapsed_steps >= MAX_EPISODE_STEPS;
            actions[row] = action;
            rewards[row] = 1.0;
            terminated[row] = (uint8_t)fallen;
            truncated[row] = (uint8_t)at_limit;
            if (fallen || at_limit)
                reset(e);
            observations[4 * row] = e->position;
            observations[4 * row + 1] = e->velocity;
            observations[4 * row + 2] = e->angle;
            observations[4 * row + 3] = e->angular_velocity;
        }
    }
}
